"""Rows of data files whatever holds them: JSON Lines, JSON lists, CSV, TSV, Parquet, and gzip of these."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from boresight.data.jsonl import read_objects
from boresight.data.text_files import open_bytes, read_text
from boresight.errors import DataError

Row = dict[str, Any]
CONTAINERS = {
    ".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet",
    ".txt": "text", ".md": "text",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` come with their lines (from 1; of Parquet, which has no lines, the row's number)."""

    container: str
    columns: tuple[str, ...]
    rows: list[tuple[int, Row]]


def container_of(path: Path) -> str:
    """What holds the rows, by the file's name (without `.gz`); DataError for a name that tells nothing."""
    suffixes = [s.lower() for s in path.suffixes if s.lower() != ".gz"]
    if not suffixes or suffixes[-1] not in CONTAINERS:
        raise DataError(
            f"{path}: the name does not tell what the file holds; expected one that ends in "
            f"{', '.join(CONTAINERS)}, or in one of these and .gz. Rename the file."
        )
    return CONTAINERS[suffixes[-1]]


def read_table(path: Path) -> Table:
    """All rows of a file. Raises DataError with file and line for what cannot be read, and for a file without rows."""
    container = container_of(path)
    if container == "text":
        raise DataError(
            f"{path}: a text file holds documents, which only a pretrain stage reads; expected rows "
            "(.jsonl, .json, .csv, .tsv, .parquet)."
        )
    if container == "parquet":
        rows = list(enumerate(_parquet_rows(path), start=1))
    elif container == "json":
        rows = list(read_objects(path))
    else:
        rows = list(_delimited_rows(path, "\t" if container == "tsv" else ","))
    if not rows:
        raise DataError(f"{path}: the file holds no rows; expected at least one record.")
    columns = dict.fromkeys(key for _, row in rows for key in row)
    return Table(container, tuple(columns), rows)


def _delimited_rows(path: Path, delimiter: str) -> Iterator[tuple[int, Row]]:
    text = read_text(path)
    first_line = text[: text.find("\n")] if "\n" in text else text
    if delimiter == "," and "," not in first_line:  # spreadsheets of many countries part cells by semicolons
        delimiter = ";" if ";" in first_line else "\t" if "\t" in first_line else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{path}:{line}: not valid {'TSV' if delimiter == chr(9) else 'CSV'}: {error}. A cell with quotes, "
                'line ends or the delimiter in it stands in double quotes, and quotes in it are doubled (""). '
                "Correct the row, or give the data as JSON Lines."
            ) from error
        if not cells:
            continue
        if header is None:
            header = _checked_header(cells, f"{path}:{line}")
            continue
        if len(cells) != len(header):
            raise DataError(
                f"{path}:{line}: found {len(cells)} cells, expected {len(header)} ({', '.join(header)}). Put cells "
                f"that contain {delimiter!r} in double quotes."
            )
        yield line, dict(zip(header, cells, strict=True))


def _checked_header(cells: list[str], where: str) -> list[str]:
    header = [cell.strip() for cell in cells]
    if "" in header:
        raise DataError(f"{where}: column {header.index('') + 1} of the header has no name. Name it, or take it out.")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(f"{where}: the header names the column {twice[0]!r} twice. Rename one of them.")
    return header


def _parquet_rows(path: Path) -> list[Row]:
    with open_bytes(path) as stream:
        content = stream.read()
    try:
        rows: list[Row] = pyarrow.parquet.read_table(pyarrow.BufferReader(content)).to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read as Parquet ({first_line}). Write the file again.") from error
    return rows
