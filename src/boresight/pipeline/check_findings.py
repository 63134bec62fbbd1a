"""What a check says: one finding each, with an id that stays the same."""

from collections.abc import Iterable
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


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, warnings, notes; otherwise in the order given."""
    return sorted(findings, key=lambda finding: ORDER[finding.severity])
