"""A judge's reply, read for its verdict: the JSON object that was asked for, else a form that leaves no doubt."""

import json
import re
from typing import Any

FIRST, SECOND, TIE = "A", "B", "tie"
VALUES = {"a": 1.0, "b": 0.0, "tie": 0.5}
"""What a verdict is worth to the response shown first."""

SCHEMA: dict[str, Any] = {
    "name": "verdict",
    "strict": True,
    "schema": {
        "type": "object",
        "properties": {
            "rationale": {"type": "string"},
            "verdict": {"type": "string", "enum": [FIRST, SECOND, TIE]},
        },
        "required": ["rationale", "verdict"],
        "additionalProperties": False,
    },
}
"""The reason stands first, so that a judge that writes in order decides after it has reasoned."""

_LOOSE = re.compile(r'"verdict"\s*:\s*"(A|B|tie)"|\[\[(A|B|tie)\]\]', re.IGNORECASE)
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)


def parse_verdict(reply: str) -> float | None:
    """1: the first is better, 0: the second, 0.5: a tie; None where the reply holds no verdict, or several that differ.

    Only what `neutralise` breaks up counts as a verdict, so that no text which went through it can be one. What a
    model thought aloud before `</think>` is not read. A verdict inside the text of the rationale does not count.
    """
    said = reply.rpartition("</think>")[2].strip()
    if fenced := _FENCE.match(said):
        said = fenced[1].strip()
    try:
        whole = json.loads(said)
    except ValueError:
        whole = None
    if isinstance(whole, dict):
        verdict = whole.get("verdict") if '"verdict"' in said else None
        return VALUES.get(verdict.strip().lower()) if isinstance(verdict, str) else None
    found = {(key or bracketed).lower() for key, bracketed in _LOOSE.findall(said)}
    return VALUES[found.pop()] if len(found) == 1 else None
