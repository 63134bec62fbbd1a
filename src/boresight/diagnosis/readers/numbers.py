"""Numbers as logs write them: plain, quoted, NaN and Infinity in any case, and `np.float64(...)`."""

import math
import re

PATTERN = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)"
"""A number without its wrapping."""

_WRAPPED = re.compile(rf"(?:np|numpy)\.\w+\(({PATTERN})\)|tensor\(({PATTERN})[^)]*\)", re.IGNORECASE)


def as_number(value: object) -> float | None:
    """The number that a value of JSON or a cell of a table is; None for text, truth values, nothing and structures."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _float(value)
    return text_number(value) if isinstance(value, str) else None


def text_number(text: str) -> float | None:
    """The number that a text is, quoted or wrapped as numpy prints it."""
    text = text.strip().strip("'\"").strip()
    wrapped = _WRAPPED.fullmatch(text)
    if wrapped:
        text = wrapped[1] or wrapped[2]
    if not text or "_" in text:
        return None
    percent = text.endswith("%")
    try:
        number = float(text.rstrip("%"))
    except ValueError:
        return None
    return number / 100 if percent else number


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf if value > 0 else -math.inf
