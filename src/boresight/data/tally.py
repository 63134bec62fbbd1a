"""What was found odd while reading, what was left out for it, and where: nothing is lost uncounted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from boresight.data.jsonl import Record, as_record
from boresight.data.refusals import Refuse, pass_over
from boresight.errors import DataError
from boresight.records import RatedResponse

Choice = Literal["error", "drop", "keep"]
EXAMPLES = 5


@dataclass
class Tally:
    """Counts by reason. `found` counts each oddity of a row, kept or not; `dropped` counts a row once, and `aside` is
    told of it."""

    path: Path
    aside: Refuse = pass_over
    found: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[int]] = field(default_factory=dict)
    _refused: dict[str, list[int]] = field(default_factory=dict)
    _first_refusal: str = ""

    def note(self, reason: str, line: int) -> None:
        """Count an oddity of a row; the first lines of each reason are kept as examples."""
        self.found[reason] = self.found.get(reason, 0) + 1
        lines = self.examples.setdefault(reason, [])
        if len(lines) < EXAMPLES:
            lines.append(line)

    def judge(
        self,
        oddities: Mapping[str, str],
        choices: Mapping[str, Choice],
        line: int,
        record: Record | RatedResponse | None = None,
    ) -> bool:
        """Note a row's oddities (reason -> message) and do as the choices say; True where the row stays."""
        for reason in oddities:
            self.note(reason, line)
        refused = [reason for reason in oddities if choices[reason] == "error"]
        dropped = [reason for reason in oddities if choices[reason] == "drop"]
        if refused:
            self._refused.setdefault(refused[0], []).append(line)
            self._first_refusal = self._first_refusal or oddities[refused[0]]
        elif dropped:
            found = None if record is None else as_record(record)
            self._drop(dropped[0], DataError(oddities[dropped[0]]), line, found)
        return not refused and not dropped

    def leave_out(self, reason: str, line: int, error: DataError | None = None, found: Any = None) -> None:
        """Note a row that is dropped whatever the settings, because its file serves another purpose here, or one that
        could not be read: then the error and what stood there are given."""
        self.note(reason, line)
        self._drop(reason, error or DataError(f"{self.path}:{line}: left out: {reason}"), line, found)

    def _drop(self, reason: str, error: DataError, line: int, found: Any) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self.aside(error, line, found)

    def raise_refusals(self) -> None:
        """DataError with the first refused row in full and all of them by reason, with their lines."""
        total = sum(len(lines) for lines in self._refused.values())
        if total == 0:
            return
        message = self._first_refusal
        if total > 1:
            listed = "; ".join(f"{reason} {len(lines)} ({_lines(lines)})" for reason, lines in self._refused.items())
            message += f" In all {total} rows of the file are refused: {listed}."
        raise DataError(message)


def _lines(lines: list[int]) -> str:
    shown = ", ".join(str(line) for line in lines[:EXAMPLES])
    return f"line{'s' if len(lines) > 1 else ''} {shown}{', …' if len(lines) > EXAMPLES else ''}"
