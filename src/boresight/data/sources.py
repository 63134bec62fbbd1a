"""A data file opened for reading: its form, told from its first rows or given, and its rows as they come."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from boresight.data.foreign_forms import FOREIGN, foreign_form, form_named
from boresight.data.forms import Form, Kind
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


@dataclass
class Source:
    """`columns` are those met so far, `read` the number of rows; both grow as `rows` is gone through. `foreign` is
    set for a form that is told by its keys."""

    path: Path
    container: str
    form: str
    kind: Kind
    foreign: Form | None
    columns: dict[str, None]
    rows: Iterator[tuple[int, Row]]
    read: int = field(default=0)

    @property
    def shown(self) -> str:
        """The form as it is told to people: of tables with the usual columns it is the kind of table."""
        return self.container if self.container in ("csv", "tsv") and self.foreign is None else self.form

    def unused(self, used: Collection[str]) -> tuple[str, ...]:
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
    rows = iterate_rows(path, refuse)
    head = list(islice(rows, LOOKED_AT))
    if not head:
        raise DataError(f"{path}: the file holds no rows; expected at least one record.")
    found = dict.fromkeys(key for _, row in head for key in row)
    name, kind, foreign = _form_of(path, form, found, head[0], columns, pairs)
    source = Source(path, container_of(path), name, kind, foreign, found, iter(()))
    source.rows = _counted(source, chain(head, rows))
    return source


def _counted(source: Source, rows: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    for line, row in rows:
        source.read += 1
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
    if foreign is not None:
        return foreign.name, foreign.kind, foreign
    if given is not None:
        return given, ROW_FORMS.get(given, "pairs"), None
    if pairs or named or holds_pairs(found):
        return pair_form(path, found, line, row, find_columns(path, found, named)), "pairs", None
    name = row_form(path, found, row)
    return name, ROW_FORMS[name], None


def _check_form(form: str | None) -> None:
    if form is not None and form not in FORM_NAMES:
        raise DataError(f"there is no form {form!r}; expected one of {', '.join(FORM_NAMES)}.")
