"""Rows of any keys gathered into columns: which rows have a key, and the numbers there. NaN is a value, not a gap; null
may be either."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from boresight.diagnosis.readers.numbers import as_number
from boresight.diagnosis.signals import Numbers

Row = Mapping[str, Any]

DEEPEST = 4
"""Levels of nested objects that are taken apart, as `outer/inner`."""


BATCH = 20_000
"""Rows that are held as objects before they become numbers."""


class Column(NamedTuple):
    """The rows that have a number under the key, in order, and the number in each; `empty` are those that have null."""

    rows: Numbers
    values: Numbers
    empty: Numbers = np.empty(0)


class RawLog(NamedTuple):
    """A log as written: the names are those of the framework. `hint` is the framework where the form itself tells."""

    columns: dict[str, Column]
    rows: int
    hint: str = ""
    remarks: tuple[str, ...] = ()


def gather(rows: Iterable[Row], hint: str = "", remarks: tuple[str, ...] = ()) -> RawLog:
    """Columns of the numbers in rows. Rows of one shape are converted together, for logs of a million of them."""
    shapes: dict[tuple[str, ...], tuple[list[int], list[tuple[Any, ...]]]] = {}
    parts: dict[str, list[Column]] = {}
    count = 0
    for number, row in enumerate(rows):
        places, values = shapes.setdefault(tuple(row), ([], []))
        places.append(number)
        values.append(tuple(row.values()))
        count = number + 1
        if count % BATCH == 0:
            _convert(shapes, parts)
    _convert(shapes, parts)
    columns = {key: _joined(found) for key, found in parts.items()}
    return RawLog({key: column for key, column in columns.items() if len(column.rows)}, count, hint, remarks)


def _convert(
    shapes: dict[tuple[str, ...], tuple[list[int], list[tuple[Any, ...]]]], parts: dict[str, list[Column]]
) -> None:
    for shape, (places, values) in shapes.items():
        where = np.array(places, dtype=np.float64)
        for key, column in zip(shape, zip(*values, strict=True), strict=True):
            _add(parts, key, where, column)
    shapes.clear()


def _add(parts: dict[str, list[Column]], key: str, where: Numbers, column: tuple[Any, ...]) -> None:
    if set(map(type, column)) <= {float, int}:
        try:
            parts.setdefault(key, []).append(Column(where, np.array(column, dtype=np.float64)))
            return
        except OverflowError:
            pass  # a whole number beyond the range of floats: each is converted by itself below
    nested = [place for place, value in enumerate(column) if isinstance(value, dict)]
    if nested:
        flat = gather([flattened(column[place]) for place in nested])
        for inner, part in flat.columns.items():
            rows, gaps = (where[nested][found.astype(int)] for found in (part.rows, part.empty))
            parts.setdefault(f"{key}/{inner}", []).append(Column(rows, part.values, gaps))
    numbers = [as_number(value) for value in column]
    keep = [place for place, value in enumerate(numbers) if value is not None]
    empty = [place for place, value in enumerate(column) if value is None]
    if keep or empty:
        values = np.array([numbers[place] for place in keep], dtype=np.float64)
        parts.setdefault(key, []).append(Column(where[keep], values, where[empty]))


def _joined(parts: list[Column]) -> Column:
    if len(parts) == 1:
        return parts[0]
    rows, values, empty = (np.concatenate(found) for found in zip(*parts, strict=True))
    order = np.argsort(rows, kind="stable")
    return Column(rows[order], values[order], np.sort(empty))


def flattened(row: Row, depth: int = DEEPEST) -> dict[str, Any]:
    """Nested objects as `outer/inner`."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict) and depth > 0:
            flat |= {f"{key}/{inner}": number for inner, number in flattened(value, depth - 1).items()}
        else:
            flat[str(key)] = value
    return flat


def of_lists(lists: Mapping[str, Any]) -> RawLog:
    """An object of lists (or of objects by row number): each is a column, its place the row."""
    columns: dict[str, Column] = {}
    for key, found in lists.items():
        items = list(found.values()) if isinstance(found, dict) else found
        if not isinstance(items, list):
            continue
        numbers = [as_number(item) for item in items]
        keep = [place for place, number in enumerate(numbers) if number is not None]
        if keep:
            columns[str(key)] = Column(
                np.array(keep, dtype=np.float64),
                np.array([numbers[place] for place in keep], dtype=np.float64),
                np.array([place for place, item in enumerate(items) if item is None], dtype=np.float64),
            )
    return RawLog(columns, max((int(column.rows[-1]) + 1 for column in columns.values()), default=0))


def parsed(text: str) -> Any:
    """JSON with the bare NaN and Infinity that Python writes; None where it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
