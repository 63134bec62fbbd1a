"""Rows into a file, one after the other: JSON Lines, a JSON list, CSV, TSV or Parquet, by the file's name."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow
import pyarrow.parquet

from boresight.data.arrow_files import FREE
from boresight.data.jsonl import write_lines
from boresight.data.tables import Row, container_of
from boresight.errors import DataError
from boresight.storage import write_atomically

_TEXT, _TEXTS = pyarrow.string(), pyarrow.list_(pyarrow.string())
_MESSAGES = pyarrow.list_(pyarrow.struct([("role", _TEXT), ("content", _TEXT)]))
_TURN = pyarrow.struct([("from", _TEXT), ("value", _TEXT)])
TYPES: Mapping[str, Any] = MappingProxyType(
    {
        **dict.fromkeys(("id", "kind", "source", "ranking_id", "instruction", "system", *FREE), _TEXT),
        **dict.fromkeys(("p_chosen", "strength"), pyarrow.float64()),
        "n_votes": pyarrow.int64(),
        "annotators": _TEXTS,
        "label": pyarrow.bool_(),
        "messages": _MESSAGES,
        "conversations": pyarrow.list_(_TURN),
        "history": pyarrow.list_(_TEXTS),
    }
)

GROUP_ROWS = 1024  # rows of a Parquet row group
USUAL: Mapping[tuple[str, ...], tuple[str, ...]] = MappingProxyType(
    {
        ("id", "prompt", "chosen", "rejected"): (
            "p_chosen", "kind", "source", "strength", "annotators", "n_votes", "criteria", "ranking_id", "meta",
        ),
        ("id", "chosen", "rejected"): ("p_chosen", "kind"),
        ("id", "messages"): ("kind", "expect", "meta"),
        ("instruction",): ("system", "history"),
    }
)  # fmt: skip
"""Columns that go with others. Our own forms are read by their columns, so an empty one says nothing else."""


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows, whole or not at all; equal rows give equal bytes, packed where the name ends in `.gz`.

    Raises DataError for a value that the container cannot hold.
    """
    container = container_of(path)
    if container == "parquet":
        _write_parquet(path, rows)
    elif container in ("csv", "tsv"):
        write_lines(path, _delimited(rows, "\t" if container == "tsv" else ","))
    elif [s.lower() for s in path.suffixes if s.lower() != ".gz"][-1] == ".json":
        write_lines(path, _json_list(rows))
    else:
        write_lines(path, (_json(row) + "\n" for row in rows))


def _json(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


def _json_list(rows: Iterable[Row]) -> Iterator[str]:
    before = "[\n"
    for row in rows:
        yield before + _json(row)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _delimited(rows: Iterable[Row], delimiter: str) -> Iterator[str]:
    header = True
    for row in rows:
        buffer = io.StringIO(newline="")
        # RFC 4180's line ends; a writer quotes only the line ends that it uses, and a lone \r has to stand in quotes.
        writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n")
        if header:
            writer.writerow(row)
            header = False
        writer.writerow(row.values())
        yield buffer.getvalue()


def _write_parquet(path: Path, rows: Iterable[Row]) -> None:
    if path.suffix.lower() == ".gz":
        raise DataError(f"{path}: a Parquet file is packed inside already. Leave .gz out of the name.")
    stream = iter(rows)
    first = list(islice(stream, GROUP_ROWS))
    schema = _schema(first)

    def write(temporary: Path) -> None:
        with pyarrow.parquet.ParquetWriter(temporary, schema, compression="zstd") as writer:
            everything = chain(first, stream)
            while batch := list(islice(everything, GROUP_ROWS)):
                writer.write_batch(_batch(path, batch, schema))

    write_atomically(path, write)


def _batch(path: Path, rows: list[Row], schema: Any) -> Any:
    """Rows as columns. Raises DataError for a row with a key or a type that the file's columns do not have."""
    more = next((key for row in rows for key in row if key not in schema.names), None)
    if more is not None:
        raise DataError(
            f"{path}: a row has the key {more!r}, which none of the first {GROUP_ROWS} has; Parquet has the same "
            "columns for all rows. Write .jsonl instead."
        )
    plain = [{key: _json(row[key]) if key in FREE else row[key] for key in row} for row in rows]
    try:
        return pyarrow.RecordBatch.from_pylist(plain, schema=schema)
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: a column would have values of two types ({error}), which Parquet cannot hold. Write .jsonl "
            "instead."
        ) from error


def _schema(rows: list[Row]) -> Any:
    """One type a column. Keys that rows leave out where a field holds its default get their columns from `USUAL`."""
    columns: dict[str, Any] = dict.fromkeys(key for row in rows for key in row)
    for keys, more in USUAL.items():
        if set(keys) <= columns.keys():
            columns.update({key: None for key in more if key not in columns})
    value_of = {key: next((row[key] for row in rows if row.get(key) is not None), None) for key in columns}
    return pyarrow.schema([(key, TYPES[key] if key in TYPES else _type_of(value_of[key])) for key in columns])


def _type_of(value: Any) -> Any:
    """The type of a column that is text in one form, messages or an object of them in another."""
    if isinstance(value, dict):
        return _TURN if "from" in value else pyarrow.struct([(key, _type_of(value[key])) for key in value])
    if isinstance(value, list):
        turns = bool(value) and isinstance(value[0], dict) and "from" in value[0]
        return pyarrow.list_(_TURN) if turns else _MESSAGES
    return _TEXT
