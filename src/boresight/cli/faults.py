"""How a fault that a person can mend is told: one line for each problem, with its label and without a traceback."""

from boresight.errors import BoresightError, ConfigError
from boresight.pipeline.check_findings import RefusedError
from boresight.storage import as_storage_error

INTERRUPTED = "Interrupted."


def told(error: Exception) -> list[str] | None:
    """The lines to print for a fault; None for one that is a mistake of the program and needs its traceback."""
    if not isinstance(error, BoresightError):
        storage = as_storage_error(error)
        if storage is None:
            return None
        error = storage
    if isinstance(error, RefusedError):
        return str(error).splitlines()  # each with the label of its own family
    problems = error.problems if isinstance(error, ConfigError) else [str(error)]
    return [f"{error.label}: {problem}" for problem in problems]
