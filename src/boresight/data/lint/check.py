"""What every check of the lint is: it sees each row once and tells at the end what it found."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from boresight.data.lint.finding import Finding
from boresight.data.lint.row import Row


class Check(Protocol):
    """Its state stays small: counts, or a few bytes a row, never the rows themselves."""

    def see(self, row: Row) -> None:
        """Take in the next row; rows come in the order of the file."""
        ...

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        """`ids` are those of all rows seen, in their order."""
        ...
