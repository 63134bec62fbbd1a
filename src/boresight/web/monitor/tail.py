"""A file that grows, read on from where the last reading ended."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BLOCK_BYTES = 1 << 20

MARK_BYTES = 128
"""The end of what was read is remembered, to see that the file still holds it."""


class _Position(NamedTuple):
    file: tuple[int, int]
    offset: int
    mark: bytes


_BEGINNING = _Position((0, 0), 0, b"")


class Tail:
    """Whole lines of a file, each once; a last line without its end waits until it is whole.

    A file that was renamed stays the same file. One that was cut back, replaced or written anew is read from the
    beginning again, which `restarted` tells before the lines are read.
    """

    def __init__(self) -> None:
        self._position = _BEGINNING

    def restarted(self, path: Path) -> bool:
        """Whether what was read before is no longer what the file begins with; then the next reading begins anew."""
        before = self._position
        try:
            with path.open("rb") as stream:
                found = os.fstat(stream.fileno())
                if (found.st_dev, found.st_ino) == before.file:
                    stream.seek(before.offset - len(before.mark))
                    if stream.read(len(before.mark)) == before.mark:
                        return False
        except FileNotFoundError:
            pass
        self._position = _BEGINNING
        return before.offset > 0

    def lines(self, path: Path) -> Iterator[bytes]:
        """The lines since the last reading, without their ends; nothing where the file is absent."""
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            return
        with stream:
            found = os.fstat(stream.fileno())
            file = (found.st_dev, found.st_ino)
            offset, rest = self._position.offset, b""
            stream.seek(offset)
            while block := stream.read(BLOCK_BYTES):
                *whole, rest = (rest + block).split(b"\n")
                if whole:
                    read = b"\n".join(whole) + b"\n"
                    offset += len(read)
                    self._position = _Position(file, offset, (self._position.mark + read)[-MARK_BYTES:])
                    yield from whole
