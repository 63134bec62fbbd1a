"""What was found odd while reading, what was left out for it, and where: nothing is lost uncounted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from boresight.errors import DataError

Choice = Literal["error", "drop", "keep"]
EXAMPLES = 5


@dataclass
class Tally:
    """Counts by reason. `found` counts each oddity of a row, kept or not; `dropped` counts a row once."""

    path: Path
    found: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[int]] = field(default_factory=dict)
    _refused: dict[str, list[int]] = field(default_factory=dict)
    _first_refusal: str = ""

    def note(self, reason: str, line: int) -> None:
        self.found[reason] = self.found.get(reason, 0) + 1
        lines = self.examples.setdefault(reason, [])
        if len(lines) < EXAMPLES:
            lines.append(line)

    def judge(self, oddities: Mapping[str, str], choices: Mapping[str, Choice], line: int) -> bool:
        """Note a row's oddities (reason -> message) and do as the choices say; True where the row stays."""
        for reason in oddities:
            self.note(reason, line)
        refused = [reason for reason in oddities if choices[reason] == "error"]
        dropped = [reason for reason in oddities if choices[reason] == "drop"]
        if refused:
            self._refused.setdefault(refused[0], []).append(line)
            self._first_refusal = self._first_refusal or oddities[refused[0]]
        elif dropped:
            self._drop(dropped[0])
        return not refused and not dropped

    def leave_out(self, reason: str, line: int) -> None:
        """Note a row that is dropped whatever the settings, because its file serves another purpose here."""
        self.note(reason, line)
        self._drop(reason)

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

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
