"""A form of rows that another program writes: how it is told from a row, and what records the row holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from boresight.data.json_text import kind_of
from boresight.data.pair_rows import PairRow
from boresight.errors import DataError
from boresight.records import Demonstration

Row = dict[str, Any]
Kind = Literal["pairs", "demonstrations", "prompts", "documents"]
Parse = Callable[[Row, str, str], Sequence[PairRow | Demonstration]]
"""Row, its place for messages, and the id it gets -> its records: none where nobody has judged it, several of a
ranking."""


def _no_other(name: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Form:
    """`keys` are those that are read, and `also` tells of others by their names (an annotation program lets its users
    name the columns); what else a row has is kept in `meta` or listed."""

    name: str
    kind: Kind
    keys: frozenset[str]
    fits: Callable[[Row], bool]
    parse: Parse
    also: Callable[[str], bool] = _no_other


def text_at(row: Row, key: str, where: str) -> str:
    """A text that must be there; DataError that tells what was found instead."""
    value = row.get(key)
    if not isinstance(value, str):
        found = kind_of(value) if key in row else f"no such key (keys: {', '.join(row) or 'none'})"
        raise DataError(f'{where}: "{key}": found {found}, expected a text. Correct the row, or leave it out.')
    return value


def text_or_none(row: Row, key: str, where: str) -> str:
    """A text that may be absent or null, which is the empty one."""
    return "" if row.get(key) is None else text_at(row, key, where)


def list_at(row: Row, key: str, where: str) -> list[Any]:
    """A list that must be there; DataError that tells what was found instead."""
    value = row.get(key)
    if not isinstance(value, list):
        raise DataError(f'{where}: "{key}": found {kind_of(value)}, expected a list. Correct the row, or leave it out.')
    return value


def items_of(value: Any, where: str) -> list[Any]:
    """The items of a list that may be absent or null; DataError for anything else."""
    if value is not None and not isinstance(value, list):
        raise DataError(f"{where}: found {kind_of(value)}, expected a list. Correct the row, or leave it out.")
    return value or []


def mapping_of(value: Any, where: str) -> Row:
    """A mapping; DataError that tells what was found instead."""
    if not isinstance(value, dict):
        raise DataError(f"{where}: found {kind_of(value)}, expected an object. Correct the row, or leave it out.")
    return value
