"""Rows of data files whatever holds them, one after the other: JSON Lines, JSON lists, CSV, TSV, Parquet, gzip of
these, and data set folders."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from boresight.data.arrow_files import dataset_rows, is_dataset_folder, parquet_rows
from boresight.data.jsonl import read_objects
from boresight.data.refusals import Refuse, stop
from boresight.data.text_files import not_utf8, open_text
from boresight.errors import DataError

Row = dict[str, Any]
CONTAINERS = {
    ".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet",
    ".txt": "text", ".md": "text",
}  # fmt: skip
LONGEST_CELL = 2**24
"""Characters that a cell of CSV or TSV may hold; more is taken for a quote that is never closed, which would swallow
the rest of the file."""


def container_of(path: Path) -> str:
    """What holds the rows, by the file's name (without `.gz`); DataError for a name that tells nothing."""
    if path.is_dir() and is_dataset_folder(path):
        return "dataset"
    suffixes = [s.lower() for s in path.suffixes if s.lower() != ".gz"]
    if not suffixes or suffixes[-1] not in CONTAINERS:
        raise DataError(
            f"{path}: the name does not tell what the file holds; expected one that ends in "
            f"{', '.join(CONTAINERS)}, or in one of these and .gz, or a folder that `save_to_disk` of datasets wrote. "
            "Rename the file."
        )
    return CONTAINERS[suffixes[-1]]


def iterate_rows(path: Path, refuse: Refuse = stop) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their lines (from 1; of Parquet and Arrow, which have no lines, the row's number).

    A row that cannot be read is refused; a file that cannot be read, or whose rows cannot be told apart, raises
    DataError.
    """
    container = container_of(path)
    if container == "text":
        raise DataError(
            f"{path}: a text file holds documents, which only a pretrain stage reads; expected rows "
            "(.jsonl, .json, .csv, .tsv, .parquet)."
            " Give one of these."
        )
    if container in ("parquet", "dataset"):
        return enumerate(parquet_rows(path) if container == "parquet" else dataset_rows(path), start=1)
    if container == "json":
        return read_objects(path, refuse)
    return _delimited_rows(path, "\t" if container == "tsv" else ",", refuse)


def _delimited_rows(path: Path, delimiter: str, refuse: Refuse) -> Iterator[tuple[int, Row]]:
    with open_text(path) as stream:
        first_line = stream.readline()
        if delimiter == "," and "," not in first_line:  # spreadsheets of many countries part cells by semicolons
            delimiter = ";" if ";" in first_line else "\t" if "\t" in first_line else ","
        reader = csv.reader(_with_first(first_line, stream), delimiter=delimiter, strict=True)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            try:
                cells = _next_cells(reader)
            except StopIteration:
                return
            except csv.Error as error:
                _refuse_broken(_not_delimited(path, line, delimiter, error), line, reader.line_num, refuse)
                continue
            if not cells:
                continue
            if header is None:
                header = _checked_header(cells, f"{path}:{line}")
                continue
            if fault := _bad_cells(cells, header, delimiter, f"{path}:{line}"):
                refuse(fault, line, cells)
            else:
                yield line, dict(zip(header, cells, strict=True))


def _next_cells(reader: Iterator[list[str]]) -> list[str]:
    """The next row. The csv module has one limit for all of its readers: ours holds for this row alone."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        return next(reader)
    finally:
        csv.field_size_limit(before)


def _with_first(first_line: str, rest: Iterator[str]) -> Iterator[str]:
    if first_line:
        yield first_line
    yield from rest


def _refuse_broken(error: DataError, line: int, last: int, refuse: Refuse) -> None:
    """A quote that is not closed swallows the rows after it, so that none of them can be told: that ends the reading.
    Text behind a closing quote spoils its own row alone."""
    if "expected after" not in str(error):
        raise error
    refuse(error, line, f"lines {line} to {last}")


def _not_delimited(path: Path, line: int, delimiter: str, error: csv.Error) -> DataError:
    return DataError(
        f"{path}:{line}: not valid {'TSV' if delimiter == chr(9) else 'CSV'}: {error}. A cell with quotes, "
        'line ends or the delimiter in it stands in double quotes, and quotes in it are doubled (""); it holds at most '
        f"{LONGEST_CELL:,} characters. "
        "Correct the row, or give the data as JSON Lines."
    )


def _bad_cells(cells: list[str], header: list[str], delimiter: str, where: str) -> DataError | None:
    if error := not_utf8("".join(cells), where):
        return error
    if len(cells) != len(header):
        return DataError(
            f"{where}: found {len(cells)} cells, expected {len(header)} ({', '.join(header)}). Put cells "
            f"that contain {delimiter!r} in double quotes."
        )
    return None


def _checked_header(cells: list[str], where: str) -> list[str]:
    if error := not_utf8("".join(cells), where):
        raise error
    header = [cell.strip() for cell in cells]
    if "" in header:
        raise DataError(f"{where}: column {header.index('') + 1} of the header has no name. Name it, or take it out.")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(f"{where}: the header names the column {twice[0]!r} twice. Rename one of them.")
    return header
