"""What a lint says: one finding for each id, with how many rows it concerns, how much it matters, which they are."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from boresight.data.lint.catalogue import CATALOGUE

Severity = Literal["note", "warning", "error"]
ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}
EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`count` of `of` rows are concerned. `effect` holds the figures behind the message. `rows` are the positions
    (from 0) of the rows concerned, empty where the finding is about the set as a whole."""

    id: str
    severity: Severity
    count: int
    of: int
    message: str
    effect: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    rows: Sequence[int] = field(default_factory=lambda: array("q"), repr=False)

    @property
    def share(self) -> float:
        return self.count / self.of if self.of else 0.0

    @property
    def advice(self) -> str:
        return CATALOGUE[self.id].advice

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "severity": self.severity,
            "count": self.count,
            "share": self.share,
            "effect": dict(self.effect),
            "message": self.message,
            "advice": self.advice,
            "examples": list(self.examples),
        }


class Marks:
    """Positions of the rows that a check stopped at; eight bytes a row."""

    def __init__(self, positions: Iterable[int] = ()) -> None:
        self.rows = array("q", positions)

    def add(self, position: int) -> None:
        """Note the position of a row, counted from 0."""
        self.rows.append(position)

    def __len__(self) -> int:
        return len(self.rows)


def of_rows(
    finding_id: str,
    severity: Severity,
    marks: Marks,
    ids: Sequence[str],
    message: str,
    *,
    of: int | None = None,
    effect: Mapping[str, Any] | None = None,
) -> Finding:
    """A finding about single rows; the examples are the first ones. `of` is every row where nothing else is said."""
    return Finding(
        id=finding_id,
        severity=severity,
        count=len(marks),
        of=len(ids) if of is None else of,
        message=message,
        effect=effect or {},
        examples=tuple(ids[position] for position in marks.rows[:EXAMPLES]),
        rows=marks.rows,
    )


def by_share(count: int, of: int, warning_from: float) -> Severity:
    """A warning where at least that share of the rows is concerned, a note below it."""
    return "warning" if of and count / of >= warning_from else "note"


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, warnings, notes; within one severity the larger share first."""
    return sorted(findings, key=lambda finding: (ORDER[finding.severity], -finding.share, finding.id))
