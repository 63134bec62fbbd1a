"""How a fault that a person can mend is told: one line for each problem, with its label and without a traceback."""

from pathlib import Path
from typing import TYPE_CHECKING

from boresight.errors import BoresightError, ConfigError, StorageError
from boresight.storage import storage_faults

if TYPE_CHECKING:
    from boresight.pipeline.check_findings import Finding

INTERRUPTED = "Interrupted."


class RefusedError(BoresightError):
    """A run that is not begun, because a check found errors."""

    def __init__(self, findings: "list[Finding]") -> None:
        self.findings = findings
        super().__init__(f"the check found {len(findings)} errors")

    @property
    def lines(self) -> list[str]:
        return [
            f"{finding.family.label}: {f'stage {finding.stage}: ' if finding.stage else ''}{finding.message}"
            for finding in self.findings
        ]


def told(error: Exception) -> list[str] | None:
    """The lines to print for a fault; None for one that is a mistake of the program and needs its traceback."""
    if not isinstance(error, BoresightError):
        storage = as_storage_error(error)
        if storage is None:
            return None
        error = storage
    if isinstance(error, RefusedError):
        return [*error.lines, "Nothing was run. `boresight check` tells more; --no-check runs all the same."]
    problems = error.problems if isinstance(error, ConfigError) else [str(error)]
    return [f"{error.label}: {problem}" for problem in problems]


def as_storage_error(error: Exception) -> StorageError | None:
    """A refusal of the operating system to write, wherever it came up; None for anything else."""
    try:
        with storage_faults(Path(getattr(error, "filename", None) or ".")):
            raise error
    except StorageError as refusal:
        return refusal
    except Exception:  # not about storage: the caller shows it as it is
        return None
