"""The gate's verdict as a badge: a small SVG for a README or a dashboard, without fonts or files of others."""

from collections.abc import Mapping
from typing import Any

from markupsafe import escape

PASSED, FAILED = "#0b7048", "#bb2d14"
LETTER = 6.6  # pixels of an average letter at this size; the text is then fitted to its field
PADDING = 10


def gate_badge(decision: Mapping[str, Any], name: str = "gate") -> str:
    """SVG of a gate's result: its name, and "passed" or how many checks do not hold."""
    failed = sum(not check["passed"] for check in decision["checks"])
    words = f"passed, {len(decision['checks'])} checks" if decision["passed"] else f"failed, {failed} of "
    words += "" if decision["passed"] else f"{len(decision['checks'])} checks"
    left, right = (round(LETTER * len(text)) + 2 * PADDING for text in (name, words))
    colour, width = PASSED if decision["passed"] else FAILED, left + right
    fields = [(left / 2, left - 2 * PADDING, name), (left + right / 2, right - 2 * PADDING, words)]
    texts = "".join(
        f'<text x="{middle:g}" y="14" textLength="{length}" text-anchor="middle">{escape(text)}</text>'
        for middle, length, text in fields
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" '
        f'aria-label="{escape(name)}: {escape(words)}">'
        f'<rect width="{width}" height="20" rx="3" fill="#3f4a54"/>'
        f'<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{right - 3}z" fill="{colour}"/>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">{texts}</g></svg>\n'
    )
