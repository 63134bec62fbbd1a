"""What becomes of a row that cannot be read: by default the reading stops; it can also go on and set the row aside."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boresight.errors import DataError
from boresight.storage import write_atomically

Refuse = Callable[[DataError, int, Any], None]
"""Called with the error, the line and what stood there; where it returns, the reading goes on with the next row."""

IN_MEMORY = 8 * 2**20  # bytes of rows set aside before they go to a temporary file


def stop(error: DataError, line: int, found: Any) -> None:
    """The default: the first row that cannot be read ends the reading."""
    raise error


def pass_over(error: DataError, line: int, found: Any) -> None:
    """The reading goes on with the next row, and nobody is told."""


class RowsAside:
    """Rows that were skipped, with their lines and reasons; `save` writes them to a side file, one object a line.

    To be used in a `with` statement: what is not saved is gone at its end. Rows of several files are told apart with
    `of_file`.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first_reason = ""
        self._lines = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  closed at the end of `with`

    def __call__(self, error: DataError, line: int, found: Any) -> None:
        self._note({"line": line, "reason": str(error), "row": found})

    def of_file(self, path: Path, name: str) -> Refuse:
        """For the rows of one file of several, called by this name; where it lies is not told, so that equal runs in
        two places write the same."""

        def refuse(error: DataError, line: int, found: Any) -> None:
            told = {"file": name, "line": line, "reason": str(error).replace(str(path), name)}
            self._note(told if found is None else {**told, "row": found})

        return refuse

    def _note(self, row: dict[str, Any]) -> None:
        self.count += 1
        self.first_reason = self.first_reason or row["reason"]
        # ASCII escapes keep half characters and damaged bytes; `default` writes what JSON has no form for.
        self._lines.write((json.dumps(row, default=repr) + "\n").encode("ascii"))

    def save(self, path: Path) -> None:
        """Write the side file, whole or not at all; a file of an earlier reading goes where nothing was skipped."""
        if self.count == 0:
            path.unlink(missing_ok=True)
            return

        def write(temporary: Path) -> None:
            self._lines.seek(0)
            with temporary.open("wb") as stream:
                while piece := self._lines.read(2**20):
                    stream.write(piece)

        write_atomically(path, write)

    def __enter__(self) -> "RowsAside":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
