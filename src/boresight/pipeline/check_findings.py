"""What a check says: one finding each, with an id that stays the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from boresight.errors import BoresightError, ConfigError

Severity = Literal["error", "warning", "note"]
ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """`family`: the kind of error that a run would stop with, where it would stop."""

    id: str
    severity: Severity
    stage: str | None
    message: str
    family: type[BoresightError] = ConfigError

    def as_json(self) -> dict[str, str | None]:
        return {"id": self.id, "severity": self.severity, "stage": self.stage, "message": self.message}


class RefusedError(BoresightError):
    """A run that is not begun, because a check found errors; a line for each, with the label of its own family."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = findings
        lines = [
            f"{finding.family.label}: {f'stage {finding.stage}: ' if finding.stage else ''}{finding.message}"
            for finding in findings
        ]
        lines.append("Nothing was run. `boresight check` tells more; --no-check runs all the same.")
        super().__init__("\n".join(lines))


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, warnings, notes; otherwise in the order given."""
    return sorted(findings, key=lambda finding: ORDER[finding.severity])
