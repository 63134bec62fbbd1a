"""A log file of any form as raw columns: JSON, JSON lines, tables, console text, event files; told by content."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from boresight.diagnosis.readers.columns import RawLog, Row, gather, of_lists, parsed
from boresight.diagnosis.readers.event_files import is_event_file, read_events
from boresight.diagnosis.readers.names import is_metric
from boresight.diagnosis.readers.numbers import text_number
from boresight.diagnosis.readers.text_lines import TextRows, clean_lines
from boresight.errors import DataError

NESTED = ("log_history", "history", "metrics", "logs", "data", "rows")
"""Names under which exports keep their rows."""


LINES_AT_ONCE = 5_000


def read_raw(path: Path) -> RawLog:
    """The columns of a log file. Raises DataError where it is absent, empty or holds no metric."""
    if is_event_file(path):
        return read_events(path)
    text = _text(path)
    if not text.strip("\x00 \t\r\n"):
        raise DataError(f"{path}: the file is empty; expected the log of a training run. Give the log that has rows.")
    raw = _read_text(text, path)
    if not raw.columns:
        raise DataError(
            f"{path}: no metrics found in {text.count(chr(10)) + 1} lines; expected JSON, JSON lines, CSV, or console "
            "lines such as {'loss': 0.69, 'grad_norm': 1.2} or `step:1 - actor/pg_loss:0.1`. docs/doctor.md lists what "
            "is read."
        )
    return raw


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file or folder; expected a log or a run. Check the path.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Check the file and its rights.") from None
    except (EOFError, zlib.error):
        raise DataError(f"{path}: the gzip data is damaged or cut off. Get or pack the file again.") from None
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return data.decode(encoding, errors="replace")


def _read_text(text: str, path: Path) -> RawLog:
    start = text.lstrip("\x00 \t\r\n")[:1]
    if start in ("{", "["):
        lines = text.split("\n", 2)
        if not (len(lines) > 1 and isinstance(parsed(lines[0]), dict) and lines[1].strip()):
            whole = parsed(text)
            if whole is not None:
                return _of_json(whole, path)
            if rows := list(_cut_objects(text)):
                return gather(rows, remarks=("the JSON is cut off; the objects before the cut are read",))
        else:
            return _json_lines(text)
    if (table := _table(text)) is not None:
        return table
    reader = TextRows(is_metric)
    for line in clean_lines(text):
        reader.read(line)
    return gather(reader.rows, hint=next(iter(sorted(reader.hints)), ""))


def _json_lines(text: str) -> RawLog:
    """A million lines in batches; a batch with a line that is not JSON is read line by line."""
    skipped: list[int] = []
    raw = gather(_line_rows(text, skipped))
    if not skipped:
        return raw
    remark = f"{len(skipped)} lines are not JSON objects and are passed over, the first is line {skipped[0]}"
    return raw._replace(remarks=(remark,))


def _line_rows(text: str, skipped: list[int]) -> Iterator[Row]:
    lines = text.split("\n")
    for begin in range(0, len(lines), LINES_AT_ONCE):
        batch = lines[begin : begin + LINES_AT_ONCE]
        try:
            rows = json.loads("[" + ",".join(batch) + "]")
        except (ValueError, RecursionError):
            rows = []
        if len(rows) != len(batch):
            rows = [parsed(line) for line in batch]
        for place, row in enumerate(rows):
            if isinstance(row, dict):
                yield _unwrapped(row) if "split" in row else row
            elif batch[place].strip():
                skipped.append(begin + place + 1)


def _unwrapped(row: dict[str, Any]) -> Row:
    """Our rows name the split in a column; other splits than the training's keep it in front of the name."""
    split = row.get("split")
    if isinstance(split, str) and split != "train":
        return {
            key if key.startswith("eval/") or key == "step" else f"{split}:{key}": value
            for key, value in row.items()
            if key != "split"
        }
    return row


def _of_json(whole: Any, path: Path) -> RawLog:
    if isinstance(whole, list):
        objects = [row for row in whole if isinstance(row, dict)]
        if objects:
            long = {"key", "value"} <= objects[0].keys()
            return gather(_pivoted(objects, "key")) if long else gather(objects)
        triples = [item for item in whole if isinstance(item, list) and len(item) == 3]
        if triples:  # an export of TensorBoard: wall time, step, value; its name is the file's
            return gather([{"step": step, path.stem.replace("__", "/"): value} for _, step, value in triples])
        return RawLog({}, 0)
    if not isinstance(whole, dict):
        return RawLog({}, 0)
    for name in NESTED:
        inner = whole.get(name)
        if isinstance(inner, list) and any(isinstance(row, dict) for row in inner):
            history = _of_json(inner, path)
            return _with_total(history, whole) if name == "log_history" else history
        if isinstance(inner, dict) and any(isinstance(value, list) for value in inner.values()):
            return of_lists(inner)
    if any(isinstance(value, list) for value in whole.values()) or all(isinstance(v, dict) for v in whole.values()):
        columns = of_lists(whole)
        if columns.columns:
            return columns
    return gather([whole])


def _with_total(history: RawLog, state: dict[str, Any]) -> RawLog:
    """The planned steps stand beside the rows in a trainer state."""
    total = state.get("max_steps")
    if isinstance(total, int) and total > 0 and history.rows:
        extra = gather([{"max_steps": total}])
        return history._replace(columns={**history.columns, **extra.columns})
    return history


def _cut_objects(text: str) -> Iterator[Row]:
    """Whole objects of a list that is cut off."""
    start = re.search(r"\[\s*(?=\{)", text)
    if not start:
        return
    decoder, place = json.JSONDecoder(), start.end()
    while True:
        try:
            row, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return
        if isinstance(row, dict):
            yield row
        comma = re.compile(r"\s*,\s*").match(text, place)
        if not comma:
            return
        place = comma.end()


def _table(text: str) -> RawLog | None:
    """Comma, semicolon or tab separated values with a heading; None where the text is no table."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    names = next(csv.reader([first], delimiter=delimiter), [])
    if len(names) < 2 or any(text_number(name) is not None or re.search(r"[{}=]|: ", name) for name in names):
        return None
    stream = io.StringIO(text.lstrip("\r\n"))
    lines = (line.replace("\x00", "") for line in stream)
    try:
        rows = list(csv.reader(lines, delimiter=delimiter))[1:]
    except csv.Error:
        return None
    if not any(text_number(cell) is not None for cell in chain.from_iterable(rows[:50])):
        return None
    kept = [place for place, name in enumerate(names) if not name.endswith(("__MIN", "__MAX"))]
    table = [{names[p].strip(): row[p] for p in kept if p < len(row) and row[p] != ""} for row in rows if row]
    if {"key", "value"} <= set(names):
        return gather(_pivoted(table, "key"))
    if {"tag", "value"} <= set(names):
        return gather(_pivoted(table, "tag"))
    return gather(table)


def _pivoted(rows: list[Any], name: str) -> list[Row]:
    """One row for each step from rows of one metric each, as MLflow writes them."""
    by_step: dict[tuple[str, float], dict[str, Any]] = {}
    for row in rows:
        step = text_number(str(row.get("step", "")))
        if step is not None and name in row:
            key = (str(row.get("run_id", row.get("run", ""))), step)
            by_step.setdefault(key, {"step": step})[str(row[name])] = row.get("value")
    return list(by_step.values())
