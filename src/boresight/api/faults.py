"""The same errors in Python as on the command line: what a person can mend is a BoresightError."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from boresight.storage import as_storage_error

P = ParamSpec("P")
R = TypeVar("R")


def public(function: Callable[P, R]) -> Callable[P, R]:
    """A function of the API: a refusal of the disk, whatever library met it, becomes a StorageError."""

    @wraps(function)
    def told(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return function(*arguments, **options)
        except Exception as error:  # told otherwise only where the disk refused, and raised again
            refusal = as_storage_error(error)
            if refusal is None or refusal is error:
                raise
            raise refusal from error

    return told
