"""Small records for the tests of the lint."""

from collections.abc import Iterable
from typing import Any

from boresight.data.lint.finding import Finding
from boresight.data.lint.run import lint
from boresight.records import Demonstration, Message, Messages, PreferencePair


def said(prompt: str | Messages) -> Messages:
    return (Message("user", prompt),) if isinstance(prompt, str) else prompt


def answered(text: str) -> Messages:
    return (Message("assistant", text),)


def pair(number: int, prompt: str | Messages, chosen: str, rejected: str, **more: Any) -> PreferencePair:
    return PreferencePair(
        id=f"p{number}", prompt=said(prompt), chosen=answered(chosen), rejected=answered(rejected), **more
    )


def demonstration(number: int, prompt: str | Messages, answer: str, kind: str = "") -> Demonstration:
    meta = {"kind": kind} if kind else {}
    return Demonstration(id=f"d{number}", messages=said(prompt) + answered(answer), meta=meta)


def sound_pairs(count: int) -> list[PreferencePair]:
    """Pairs that no check should stop at: questions, answers and lengths differ, neither side is longer."""
    pairs = []
    for n in range(count):
        good = f"Set the valve of pump {n} to {n + 3} bar and close gate {n}."
        bad = f"Set the valve of pump {n} to {n + 5} bar and leave gate {n}."
        pairs.append(pair(n, f"Which pressure does pump {n} in hall {n * 7} need?", good, bad))
    return pairs


def found(records: Iterable[Any], finding_id: str, **options: Any) -> Finding | None:
    return lint({"data": records}, **options).finding(finding_id)


def ids(records: Iterable[Any], finding: Finding | None) -> list[str]:
    """Ids of all the rows that a finding points at."""
    assert finding is not None
    rows = list(records)
    return [rows[position].id for position in finding.rows]
