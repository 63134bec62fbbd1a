"""Rows of Parquet files and of the folders that `datasets.save_to_disk` writes, a batch at a time."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from boresight.data.json_text import decode_object
from boresight.data.text_files import open_bytes
from boresight.errors import DataError

Row = dict[str, Any]
BATCH_ROWS = 256
FREE = ("meta", "criteria", "expect")
"""Objects of any shape. A column has one type for all rows, so they stand in it as JSON text."""


def is_dataset_folder(path: Path) -> bool:
    """Whether a folder was written by `datasets.save_to_disk`: of one split, or of several."""
    return (path / "state.json").is_file() or (path / "dataset_dict.json").is_file()


def parquet_rows(path: Path) -> Iterator[Row]:
    """Rows of a Parquet file; of a packed one all is unpacked first, since Parquet is read from its end."""
    with open_bytes(path) as stream:
        packed = not isinstance(stream, io.BufferedReader)
        try:
            file = pyarrow.parquet.ParquetFile(io.BytesIO(stream.read()) if packed else stream)
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                yield from map(_opened, batch.to_pylist())
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise _damaged(path, "Parquet", error) from error


def dataset_rows(path: Path) -> Iterator[Row]:
    """Rows of a data set folder. One of several splits has to be named: `FOLDER/train`. Raises DataError for several
    splits, and for files that are missing or damaged."""
    if (path / "dataset_dict.json").is_file():
        splits = sorted(str(name) for name in _json(path / "dataset_dict.json").get("splits", []))
        if len(splits) != 1:
            raise DataError(
                f"{path}: the data set has the splits {', '.join(splits) or '(none)'}; expected one. Name it: "
                f"{path / splits[0] if splits else path}."
            )
        path = path / splits[0]
    for entry in _json(path / "state.json").get("_data_files", []):
        file = path / str(entry["filename"])
        try:
            with pyarrow.memory_map(str(file)) as stream:
                for batch in pyarrow.ipc.open_stream(stream):
                    for start in range(0, batch.num_rows, BATCH_ROWS):
                        yield from map(_opened, batch.slice(start, BATCH_ROWS).to_pylist())
        except FileNotFoundError as error:
            raise DataError(f"{file}: no such file, though state.json names it. Save the data set again.") from error
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise _damaged(file, "Arrow", error) from error


def _opened(row: Row) -> Row:
    """Objects of any shape stand in a column as JSON text (a column has one type): they are objects again."""
    for key in FREE:
        text = row.get(key)
        if isinstance(text, str) and text.startswith("{"):
            try:
                row[key] = decode_object(text, key)
            except DataError:  # a text that only begins like one is left as it is
                continue
    return row


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}). Save the data set again.") from error
    return value if isinstance(value, dict) else {}


def _damaged(path: Path, kind: str, error: Exception) -> DataError:
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(f"{path}: cannot be read as {kind} ({first_line}). Write the file again.")
