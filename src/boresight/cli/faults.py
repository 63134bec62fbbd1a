"""How a fault that a person can mend is told: one line for each problem, with its label and without a traceback."""

import errno
from typing import TYPE_CHECKING

from boresight.errors import BoresightError, ConfigError, StorageError

if TYPE_CHECKING:
    from boresight.pipeline.check_findings import Finding

INTERRUPTED = "Interrupted."

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_DISK_WORDS = (
    "No space left on device",  # safetensors and tokenizers: written in Rust, the number is only in the text
    "Disk quota exceeded",
    "File too large",
    # torch.save tells no reason when its writes fall short; a full disk and a limit of file sizes are the known ones.
    "PytorchStreamWriter failed writing",
    ". unexpected pos ",
)


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


def as_storage_error(error: BaseException) -> StorageError | None:
    """A full disk as a StorageError, however the library that wrote put it; None for anything else."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, StorageError):
            return cause
        full = isinstance(cause, OSError) and cause.errno in FULL_DISK
        if full or any(words in str(cause) for words in FULL_DISK_WORDS):
            place = f"{cause.filename}: " if isinstance(cause, OSError) and cause.filename else ""
            return StorageError(
                f"{place}the disk is full; nothing was left half-written. Free some space and run the same command "
                "again: it goes on from the last checkpoint."
            )
        cause = cause.__cause__ or cause.__context__
    return None
