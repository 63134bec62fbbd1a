"""A data file opened for reading: its form, told from its first rows or given, and its rows as they come."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from boresight.data.foreign_forms import FOREIGN, foreign_form, form_named
from boresight.data.forms import Form, Kind
from boresight.data.json_text import is_json
from boresight.data.pair_rows import find_columns, holds_pairs, pair_form
from boresight.data.record_rows import row_form
from boresight.data.refusals import Refuse, stop
from boresight.data.tables import Row, container_of, iterate_rows
from boresight.errors import DataError

LOOKED_AT = 100  # rows whose columns tell the form
PAIR_FORMS = ("boresight", "trl_explicit", "trl_implicit", "hh_rlhf")
ROW_FORMS: Mapping[str, Kind] = {
    "conversations": "demonstrations",
    "prompt_response": "demonstrations",
    "prompts": "prompts",
    "documents": "documents",
}
FORM_NAMES = (*PAIR_FORMS, *ROW_FORMS, *(form.name for form in FOREIGN))


class RowIds:
    """Ids for rows that give none: the file's name and the line. In a JSON list several rows can stand on one line; the
    second is `file:1.2`."""

    def __init__(self, path: Path) -> None:
        self._file = path.name.split(".")[0]
        self._line, self._nth_of_line = 0, 1

    def next(self, line: int) -> str:
        """Of the row on `line`; to be asked once a row, in order."""
        self._nth_of_line = self._nth_of_line + 1 if line == self._line else 1
        self._line = line
        name = f"{self._file}:{line}"
        return name if self._nth_of_line == 1 else f"{name}.{self._nth_of_line}"


@dataclass
class Source:
    """`columns` are those met so far; they grow as `rows` is gone through, and so do the counts of rows given and of
    rows refused. `foreign` is set for a form that is told by its keys. `unkept` counts values of columns that `rest`
    could not keep."""

    path: Path
    container: str
    form: str
    kind: Kind
    foreign: Form | None
    columns: dict[str, None]
    rows: Iterator[tuple[int, Row]]
    counts: Counter[str] = field(default_factory=Counter)
    unkept: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ids = RowIds(self.path)

    @property
    def read(self) -> int:
        """Rows so far, those that could not be read among them."""
        return self.counts.total()

    @property
    def shown(self) -> str:
        """The form as it is told to people: of tables with the usual columns it is the kind of table."""
        return self.container if self.container in ("csv", "tsv") and self.foreign is None else self.form

    def next_id(self, line: int) -> str:
        """The id of the next row, if it gives none. To be asked once a row, in order."""
        return self._ids.next(line)

    def rest(self, row: Row, used: Collection[str]) -> Row:
        """What a row holds besides the columns that are read, for a record's `meta`. A value that JSON has no form for
        (a date of a Parquet file) is counted instead."""
        kept: Row = {}
        for key, value in row.items():
            if key in used or value in (None, ""):
                continue
            if is_json(value):
                kept[key] = value
            else:
                self.unkept[key] = self.unkept.get(key, 0) + 1
        return kept

    def unused(self, used: Collection[str]) -> tuple[str, ...]:
        """Columns met so far that are not among those read."""
        return tuple(name for name in self.columns if name not in used)


def open_source(
    path: Path,
    *,
    form: str | None = None,
    columns: Mapping[str, str] | None = None,
    pairs: bool = False,
    refuse: Refuse = stop,
) -> Source:
    """Open a file and tell its form. `columns` names the columns of a pair's parts; with these, or with `pairs`, the
    file is expected to hold pairs.

    Raises DataError for a file that cannot be read, has no rows, or has a form that is not known.
    """
    _check_form(form)
    first_refusal: list[DataError] = []
    counts: Counter[str] = Counter()

    def note(error: DataError, line: int, row: Any) -> None:
        counts["refused"] += 1
        if not first_refusal:
            first_refusal.append(error)
        refuse(error, line, row)

    rows = iterate_rows(path, note)
    head = list(islice(rows, LOOKED_AT))
    if not head:
        nothing = DataError(f"{path}: the file holds no rows; expected at least one record.")
        raise (first_refusal or [nothing])[0]
    found = dict.fromkeys(key for _, row in head for key in row)
    name, kind, foreign = _form_of(path, form, found, head[0], columns, pairs)
    source = Source(path, container_of(path), name, kind, foreign, found, iter(()), counts)
    source.rows = _counted(source, chain(head, rows))
    return source


def _counted(source: Source, rows: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    for line, row in rows:
        source.counts["given"] += 1
        for key in row:
            source.columns.setdefault(key)
        yield line, row


def _form_of(
    path: Path,
    given: str | None,
    found: Collection[str],
    first: tuple[int, Row],
    named: Mapping[str, str] | None,
    pairs: bool,
) -> tuple[str, Kind, Form | None]:
    line, row = first
    foreign = form_named(given) if given else foreign_form(row) if not named else None
    # Columns that hold pairs or whole conversations say more than a question and an answer beside them.
    fuller = given is None and (holds_pairs(found) or "messages" in found)
    if foreign is not None and not (foreign.kind == "demonstrations" and fuller):
        return foreign.name, foreign.kind, foreign
    if given is not None:
        return given, ROW_FORMS.get(given, "pairs"), None
    if pairs or named or holds_pairs(found):
        return pair_form(path, found, line, row, find_columns(path, found, named)), "pairs", None
    name = row_form(path, found, row)
    return name, ROW_FORMS[name], None


def _check_form(form: str | None) -> None:
    if form is not None and form not in FORM_NAMES:
        raise DataError(
            f"there is no form {form!r}; expected one of {', '.join(FORM_NAMES)}."
            " Name one of these, or leave it out: the form is then told from the file."
        )
