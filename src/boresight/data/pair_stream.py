"""The preference pairs of a file, one after the other, whatever its form."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from boresight.data.jsonl import as_record
from boresight.data.pair_rows import (
    OWN_FIELDS,
    USUAL_NAMES,
    PairColumns,
    PairRow,
    find_columns,
    parse_pair,
    refuse_misspelt,
)
from boresight.data.refusals import Refuse, stop
from boresight.data.sources import Source, open_source
from boresight.data.tables import Row
from boresight.data.transcripts import HUMAN
from boresight.data.unpaired import Unpaired, join_unpaired, unpaired_row
from boresight.errors import DataError


@dataclass
class PairStream:
    """Pairs with the lines of their rows, read once. `left_out` holds the lines of rows that make no pair, by reason:
    nobody judged them (`no_verdict`), or an unpaired row has no counterpart (`no_counterpart`). With `keep_rest` the
    columns that are not read go into the pair's `meta`."""

    source: Source
    refuse: Refuse = stop
    named: Mapping[str, str] = field(default_factory=dict)
    keep_rest: bool = False
    left_out: dict[str, list[int]] = field(default_factory=dict)
    _line_of: dict[str, int] = field(default_factory=dict)
    _names: PairColumns | None = None
    _known: int = 0

    def __iter__(self) -> Iterator[tuple[int, PairRow]]:
        pairs = self._joined() if self.source.form == "trl_unpaired" else self._parsed()
        for line, row in pairs:
            try:
                take_id(self.source.path, row.pair.id, line, self._line_of)
            except DataError as error:
                self.refuse(error, line, as_record(row.pair))
            else:
                yield line, _told_apart(row)

    @property
    def unused_columns(self) -> tuple[str, ...]:
        return () if self.keep_rest else self.source.unused(self.used)

    @property
    def used(self) -> frozenset[str]:
        """The columns that are read."""
        if self.source.foreign is not None:
            form = self.source.foreign
            return form.keys | {name for name in self.source.columns if form.also(name)}
        return frozenset(OWN_FIELDS if self.source.form == "boresight" else self._columns().used())

    def check_columns(self) -> None:
        """Raises DataError where the columns of the pair's parts cannot be told: that is no fault of single rows."""
        if self.source.foreign is None:
            self._columns()

    def _parsed(self) -> Iterator[tuple[int, PairRow]]:
        for line, row in self.source.rows:
            try:
                made = self._pairs_of(row, line)
            except DataError as error:
                self.refuse(error, line, row)
                continue
            if not made:
                self.left_out.setdefault("no_verdict", []).append(line)
            for item in made:
                yield line, self._with_rest(item, row)

    def _pairs_of(self, row: Row, line: int) -> list[PairRow]:
        where, default_id = f"{self.source.path}:{line}", self.source.next_id(line)
        if self.source.foreign is not None:
            made = self.source.foreign.parse(row, where, default_id)
            return [item for item in made if isinstance(item, PairRow)]
        return [parse_pair(self.source.form, row, self._columns(), where, default_id)]

    def _joined(self) -> Iterator[tuple[int, PairRow]]:
        for joined in join_unpaired(self._unpaired()):
            if joined.alone:
                self.left_out.setdefault("no_counterpart", []).extend(joined.alone)
            yield from joined.pairs

    def _unpaired(self) -> Iterator[Unpaired]:
        for line, row in self.source.rows:
            where, default_id = f"{self.source.path}:{line}", self.source.next_id(line)
            try:
                item = unpaired_row(row, where, line, default_id)
            except DataError as error:
                self.refuse(error, line, row)
            else:
                yield item

    def _columns(self) -> PairColumns:
        """The columns of a pair's parts, looked for again when a row has brought new ones."""
        if self._names is None or len(self.source.columns) > self._known:
            found = self.source.columns
            self._names = find_columns(self.source.path, found, self.named)
            own = self.source.form == "boresight"
            refuse_misspelt(self.source.path, found, OWN_FIELDS if own else tuple(USUAL_NAMES))
            self._known = len(found)
        return self._names

    def _with_rest(self, item: PairRow, row: Row) -> PairRow:
        if not self.keep_rest or self.source.form == "boresight":
            return item
        rest = self.source.rest(row, self.used)
        return replace(item, pair=replace(item.pair, meta={**rest, **item.pair.meta})) if rest else item


def stream_pairs(
    path: Path,
    *,
    form: str | None = None,
    columns: Mapping[str, str] | None = None,
    refuse: Refuse = stop,
    keep_rest: bool = False,
) -> PairStream:
    """The pairs of a file. Raises DataError for a file of another kind."""
    source = open_source(path, form=form, columns=columns, pairs=True, refuse=refuse)
    if source.kind != "pairs":
        raise DataError(
            f"{path}: these are {source.kind} ({source.form}); expected preference pairs."
            " Give a file of these, or force its form where it was told wrongly (--format)."
        )
    stream = PairStream(source, refuse, columns or {}, keep_rest)
    stream.check_columns()
    return stream


def goes_on_with_a_human(source: Source, row: PairRow) -> bool:
    """Whether a response of a transcript goes on with a turn of the human's, which the model wrote itself."""
    if source.form != "hh_rlhf":
        return False
    return any(HUMAN in side[-1].content for side in (row.pair.chosen, row.pair.rejected))


def oddities(row: PairRow, where: str) -> dict[str, str]:
    """What is odd about a pair: reason -> message; the first reason is the one it is dropped for."""
    chosen, rejected = row.pair.chosen[-1].content.strip(), row.pair.rejected[-1].content.strip()
    choice = "Correct the record, or set `{}: drop` to leave such pairs out (the count is reported)."
    found = {}
    if row.context_differs:
        found["context_differs"] = (
            f"{where}: the conversations of chosen and rejected differ before the last answer; a pair needs two "
            f"responses to one prompt. {choice.format('on_context_differs')}"
        )
    elif chosen == rejected:
        found["identical"] = (
            f"{where}: chosen and rejected are the same text ({len(chosen)} characters); a pair needs two different "
            f"responses. {choice.format('on_identical')}"
        )
    for name, empty in (
        ("chosen", not chosen),
        ("rejected", not rejected),
        ("prompt", not row.context_differs and not any(m.content.strip() for m in row.pair.prompt)),
    ):
        if empty:
            found[f"empty_{name}"] = f"{where}: {name} is empty; expected text. {choice.format('on_empty')}"
    return found


def _told_apart(row: PairRow) -> PairRow:
    """Responses of several messages say that the contexts differ, in forms too that give prompt and responses apart:
    a file converted from whole conversations counts the same as they did."""
    several = len(row.pair.chosen) > 1 or len(row.pair.rejected) > 1
    return replace(row, context_differs=True) if several and not row.context_differs else row


def take_id(path: Path, record_id: str, line: int, line_of: dict[str, int]) -> None:
    """Note whose line an id is. Raises DataError for one that is given twice."""
    if record_id in line_of:
        raise DataError(
            f"{path}:{line}: the id {record_id!r} is that of line {line_of[record_id]} too; ids must differ, because "
            "counts and messages go by them. Rename one of them."
        )
    line_of[record_id] = line
