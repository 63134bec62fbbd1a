"""Loading libraries without the advice that they give to notebooks."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """tqdm, which others load, asks for ipywidgets in a notebook that has none; our own bars need nothing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        yield
