"""Text of data files, plain or gzip-packed (told by content, not by name), with errors that name file and line."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from boresight.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedIOBase]:
    """A file's bytes, unpacked. Raises DataError where it is absent, no file, unreadable or damaged gzip."""
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == GZIP_MAGIC
            stream.seek(0)
            yield cast(io.BufferedIOBase, gzip.GzipFile(fileobj=stream)) if packed else stream
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file. Check the path; relative ones of a pipeline start at its `data.root`."
        ) from error
    except (IsADirectoryError, NotADirectoryError) as error:
        raise DataError(f"{path}: this is no file but a folder. Name a data file.") from error
    except PermissionError as error:
        raise DataError(f"{path}: no permission to read this file. Change its rights.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: the gzip data is damaged or cut off ({error}). Get or pack the file again."
        ) from error


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """A file's text as a stream, line ends as they are. A byte that is not UTF-8 becomes half a surrogate pair, so that
    the rows around it can be read: `not_utf8` finds it."""
    with open_bytes(path) as stream:
        mark = stream.read(2)
        if mark in UTF16_MARKS:
            raise _utf16(path)
        stream.seek(0)
        yield io.TextIOWrapper(cast(io.BufferedReader, stream), "utf-8-sig", errors="surrogateescape", newline="")


def first_character(path: Path) -> str:
    """The first character that is no white space; "" where there is none. A list may be one line as long as the file,
    so it is not lines that are looked at."""
    with open_bytes(path) as stream:
        text = stream.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
        while not text and (piece := stream.read(2**16)):
            text = piece.lstrip()
    return text[:1].decode("latin-1")


def not_utf8(text: str, where: str) -> DataError | None:
    """The error for text of `open_text` in which a byte was not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return DataError(_bad_byte(where, ord(text[error.start]) & 0xFF))
    return None


def read_raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Line numbers (from 1) and the bytes of each line."""
    with open_bytes(path) as stream:
        yield from enumerate(stream, start=1)


def read_text(path: Path) -> str:
    """A whole text file, line ends as they are."""
    with open_bytes(path) as stream:
        return decode(stream.read(), path, 1)


def decode(raw: bytes, path: Path, first_line: int) -> str:
    """Text of UTF-8 bytes that begin on this line; a byte-order mark at the start of the file is left out. DataError,
    with line and byte, where they are not UTF-8."""
    if first_line == 1 and raw.startswith(UTF16_MARKS):
        raise _utf16(path)
    try:
        return raw.decode("utf-8-sig" if first_line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line = first_line + raw.count(b"\n", 0, error.start)
        raise DataError(_bad_byte(f"{path}:{line}", raw[error.start])) from error


def _bad_byte(where: str, byte: int) -> str:
    return (
        f"{where}: byte 0x{byte:02x} is not UTF-8. Save the file as UTF-8 (one from an older spreadsheet program is "
        "often Windows-1252)."
    )


def _utf16(path: Path) -> DataError:
    return DataError(f"{path}:1: the file is UTF-16; expected UTF-8. Save it as UTF-8.")
