"""Two responses and what one judge said of them in both orders, kept: the labels, and what never became one.

Preference pairs hold only the verdicts on which both orders agree. To hold a judge against people, to calibrate it and
to choose what people should see takes the others too, so they have a file of their own, one JSON object a line:

    {"id", "prompt_id", "prompt": [message...], "responses": [a, b], "models": [of a, of b], "kind",
     "stopped": [a, b], "verdicts": [with a shown first, with b shown first], "failure",
     "judge": {what tells this judge from another}}

A verdict is how likely `a` is the better one, in both orders; null where there is none.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boresight.data.jsonl import messages_from, probability, read_objects, write_records
from boresight.data.preferences import prompt_key
from boresight.errors import DataError
from boresight.feedback.ai_labels import Compared
from boresight.feedback.judge import Verdict
from boresight.records import Messages
from boresight.storage import hash_file

CoupleKey = tuple[str, str, str]
"""What tells a couple wherever it comes from: its prompt in one spelling, and its two texts in sorted order."""
KEYS = ("id", "prompt_id", "prompt", "responses", "models", "kind", "stopped", "verdicts", "failure", "judge")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCouple:
    """`given` and `swapped`: how likely `a` is the better response, shown first and shown second; None for no verdict.
    A judge that was asked in one order only has `swapped` None and no failure."""

    id: str
    prompt_id: str
    prompt: Messages
    a: str
    b: str
    given: float | None
    swapped: float | None
    kind: str = ""
    model_a: str = ""
    model_b: str = ""
    stopped_a: bool = True
    stopped_b: bool = True
    failure: str = ""

    @property
    def key(self) -> CoupleKey:
        """What the couple is known by, whichever answer stands first and whatever space is around them."""
        first, second = sorted((self.a.strip(), self.b.strip()))
        return prompt_key(self.prompt), first, second

    @property
    def p_a(self) -> float | None:
        """How likely `a` is the better one, the mean over the orders; None where an order failed."""
        if self.failure or self.given is None:
            return None
        return self.given if self.swapped is None else (self.given + self.swapped) / 2

    @property
    def agrees(self) -> bool:
        """Whether both orders prefer the same response, or neither; so does the one order where there is one."""
        if self.failure or self.given is None:
            return False
        return self.swapped is None or side(self.given) == side(self.swapped)

    @property
    def label(self) -> int | None:
        """1 or 2, the response that both orders prefer; 0 for a tie or orders that disagree; None for no verdict."""
        p = self.p_a
        return None if p is None else 0 if not self.agrees or p == 0.5 else 1 if p > 0.5 else 2


@dataclass(frozen=True)
class JudgedFile:
    """`judge` is what the file says of who judged; `sha256` is the file's."""

    path: Path
    judge: Mapping[str, Any]
    couples: Sequence[JudgedCouple]
    sha256: str = field(default="")


def side(value: float) -> int:
    """1 where the first of two is preferred, -1 where the second, 0 for a tie."""
    return (value > 0.5) - (value < 0.5)


def couple_of(one: Compared) -> JudgedCouple:
    """The record of a comparison that was made in both orders."""
    return JudgedCouple(
        id=f"{one.a.id}|{one.b.id}",
        prompt_id=one.a.prompt.id,
        prompt=one.a.prompt.messages,
        a=one.a.text,
        b=one.b.text,
        given=_value(one.given, turned=False),
        swapped=_value(one.swapped, turned=True),
        kind=one.a.prompt.kind,
        model_a=one.a.model,
        model_b=one.b.model,
        stopped_a=one.a.stopped,
        stopped_b=one.b.stopped,
        failure=one.failure,
    )


def write_judged(path: Path, couples: Sequence[JudgedCouple], judge: Mapping[str, Any]) -> None:
    """All couples with who judged them; whole or not at all."""
    write_records(path, (_row(couple, judge) for couple in couples))


def read_judged_couples(path: Path) -> JudgedFile:
    """Raises DataError, naming the line, for what is no judged couple, for two judges in one file, and for none."""
    couples: list[JudgedCouple] = []
    judge: Mapping[str, Any] | None = None
    seen: set[str] = set()
    for line, row in read_objects(path):
        where = f"{path}:{line}"
        couple, own = _couple(row, where)
        if judge is not None and own != judge:
            raise DataError(
                f"{where}: judged by {own}, the lines before by {judge}; a file holds one judge. Write one "
                "file for each."
            )
        if couple.id in seen:
            raise DataError(
                f"{where}: the id {couple.id!r} stands on an earlier line too; ids must differ."
                " Give one of the two another id."
            )
        seen.add(couple.id)
        judge = own
        couples.append(couple)
    if judge is None:
        raise DataError(
            f"{path}: the file holds no judged couple; expected at least one (`judge label --judged FILE`)."
            " Give a file with rows."
        )
    return JudgedFile(path, judge, couples, hash_file(path))


def _value(verdict: Verdict, *, turned: bool) -> float | None:
    if verdict.failure or math.isnan(verdict.value):
        return None
    return 1.0 - verdict.value if turned else verdict.value


def _row(couple: JudgedCouple, judge: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": couple.id,
        "prompt_id": couple.prompt_id,
        "prompt": [{"role": m.role, "content": m.content} for m in couple.prompt],
        "responses": [couple.a, couple.b],
        "models": [couple.model_a, couple.model_b],
        "kind": couple.kind,
        "stopped": [couple.stopped_a, couple.stopped_b],
        "verdicts": [couple.given, couple.swapped],
        "failure": couple.failure,
        "judge": dict(judge),
    }


def _couple(row: Mapping[str, Any], where: str) -> tuple[JudgedCouple, Mapping[str, Any]]:
    if missing := [key for key in KEYS if key not in row]:
        raise DataError(
            f'{where}: "{missing[0]}" is missing; expected a judged couple with {", ".join(KEYS)}, as `judge label '
            "--judged FILE` writes it."
        )
    given, swapped = (
        None if value is None else probability(value, f'{where}: "verdicts"') for value in _two(row, "verdicts", where)
    )
    a, b = (_text(value, f'{where}: "responses"') for value in _two(row, "responses", where))
    model_a, model_b = (_text(value, f'{where}: "models"') for value in _two(row, "models", where))
    stopped_a, stopped_b = _two(row, "stopped", where)
    if not (isinstance(stopped_a, bool) and isinstance(stopped_b, bool)):
        raise DataError(
            f'{where}: "stopped" is {row["stopped"]!r}; expected two of true and false.'
            " Correct the row, or leave it out."
        )
    if not isinstance(row["judge"], dict):
        raise DataError(
            f'{where}: "judge" is {row["judge"]!r}; expected an object that tells who judged.'
            " Correct the row, or leave it out."
        )
    couple = JudgedCouple(
        id=_text(row["id"], f'{where}: "id"'),
        prompt_id=_text(row["prompt_id"], f'{where}: "prompt_id"'),
        prompt=messages_from(row["prompt"], f'{where}: "prompt"'),
        a=a,
        b=b,
        given=given,
        swapped=swapped,
        kind=_text(row["kind"], f'{where}: "kind"'),
        stopped_a=stopped_a,
        stopped_b=stopped_b,
        model_a=model_a,
        model_b=model_b,
        failure=_text(row["failure"], f'{where}: "failure"'),
    )
    return couple, row["judge"]


def _two(row: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = row[key]
    if not isinstance(value, list) or len(value) != 2:
        raise DataError(f'{where}: "{key}" is {value!r}; expected a list of two. Correct the row, or leave it out.')
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: found {value!r}; expected a text. Correct the row, or leave it out.")
    return value
