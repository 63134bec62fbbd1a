"""Verbs that serve pages, where the packages for these are missing."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def web_packages() -> Iterator[None]:
    """Around the imports of a web face: ServiceError for a missing package, with the extra that holds it."""
    from boresight.errors import ServiceError

    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("boresight"):
            raise
        raise ServiceError(
            f"the package {error.name}, which the web pages need, is not installed. Install the web extra: "
            "pip install 'boresight[web]'"
        ) from error
