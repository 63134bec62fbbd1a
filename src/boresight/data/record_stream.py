"""The records of a file of pairs, demonstrations or prompts, one after the other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from boresight.data.pair_rows import SYSTEM_NAMES, id_cell, refuse_misspelt
from boresight.data.pair_stream import stream_pairs, take_id
from boresight.data.record_rows import (
    PROMPT_FIELDS,
    RESPONSE_NAMES,
    demonstration_of,
    prompt_of,
    unfit_columns,
)
from boresight.data.refusals import Refuse, pass_over, stop
from boresight.data.sources import Source, open_source
from boresight.data.tables import Row
from boresight.errors import DataError
from boresight.records import Demonstration, PreferencePair, Prompt

Record = PreferencePair | Demonstration | Prompt


@dataclass
class RecordStream:
    """`records` with the lines of their rows; `left_out` holds lines of rows that make none, by reason, and is whole
    when all have been read."""

    source: Source
    records: Iterator[tuple[int, Record]]
    left_out: dict[str, list[int]] = field(default_factory=dict)


def stream_records(
    path: Path,
    *,
    form: str | None = None,
    columns: Mapping[str, str] | None = None,
    refuse: Refuse = stop,
    keep_rest: bool = False,
) -> RecordStream:
    """The records of a file of any kind but documents. With `keep_rest` what is not read goes into `meta`."""
    kind = kind_of_file(path, form=form, columns=columns)
    if kind == "pairs":
        stream = stream_pairs(path, form=form, columns=columns, refuse=refuse, keep_rest=keep_rest)
        pairs: Iterator[tuple[int, Record]] = ((line, row.pair) for line, row in stream)
        return RecordStream(stream.source, pairs, stream.left_out)
    source = open_source(path, form=form, refuse=refuse)
    return RecordStream(source, records_of(source, refuse, keep_rest=keep_rest))


def kind_of_file(path: Path, *, form: str | None = None, columns: Mapping[str, str] | None = None) -> str:
    """Whether a file holds pairs, demonstrations, prompts or documents. Rows that cannot be read are passed over: the
    reading itself tells them."""
    return open_source(path, form=form, columns=columns, refuse=pass_over).kind


def used_columns(source: Source, *, demonstrations: bool = False) -> set[str]:
    """The columns that are read of rows that are no pairs; a demonstration has no field for what a rule expects."""
    if source.foreign is not None:
        return set(source.foreign.keys)
    if source.kind == "documents":
        return {"text"}
    used = {*PROMPT_FIELDS, "prompt", *RESPONSE_NAMES, *SYSTEM_NAMES}
    return used - {"expect"} if demonstrations else used


def demonstrations_of(
    source: Source, refuse: Refuse = stop, *, keep_rest: bool = False
) -> Iterator[tuple[int, Demonstration]]:
    """The demonstrations of a source that holds such, with their lines. With `keep_rest` the columns that are not read
    go into `meta`."""
    if source.kind != "demonstrations" and "messages" not in source.columns:
        raise unfit_columns(source.path, source.columns, "demonstrations need `messages`, or `prompt` and `response`")
    if source.foreign is None:
        refuse_misspelt(source.path, source.columns, ("id", "kind", "messages", "meta"))
    line_of: dict[str, int] = {}
    for line, row in source.rows:
        try:
            made = _demonstrations_in(source, row, line)
            for item in made:
                take_id(source.path, item.id, line, line_of)
        except DataError as error:
            refuse(error, line, row)
            continue
        rest = source.rest(row, used_columns(source, demonstrations=True)) if keep_rest else {}
        for item in made:
            yield line, replace(item, meta={**rest, **item.meta}) if rest else item


def prompts_of(source: Source, refuse: Refuse = stop, *, keep_rest: bool = False) -> Iterator[tuple[int, Prompt]]:
    """The prompts of a source that holds no pairs, with their lines: of demonstrations what comes before the answer.
    With `keep_rest` the columns that are not read go into `meta`."""
    if source.foreign is not None:
        for line, item in demonstrations_of(source, refuse):
            yield line, Prompt(id=item.id, messages=item.messages[:-1])
        return
    if source.kind == "documents":
        raise unfit_columns(source.path, source.columns, "prompts need `messages` or `prompt`")
    refuse_misspelt(source.path, source.columns, PROMPT_FIELDS)
    line_of: dict[str, int] = {}
    for line, row in source.rows:
        try:
            where, record_id = _place(source, row, line)
            take_id(source.path, record_id, line, line_of)
            prompt = prompt_of(row, where, record_id)
        except DataError as error:
            refuse(error, line, row)
            continue
        rest = source.rest(row, used_columns(source)) if keep_rest else {}
        yield line, replace(prompt, meta={**rest, **prompt.meta}) if rest else prompt


def records_of(
    source: Source, refuse: Refuse = stop, *, keep_rest: bool = False
) -> Iterator[tuple[int, Demonstration | Prompt]]:
    """The demonstrations or the prompts of a source that holds no pairs, with their lines."""
    if source.kind == "demonstrations":
        yield from demonstrations_of(source, refuse, keep_rest=keep_rest)
    else:
        yield from prompts_of(source, refuse, keep_rest=keep_rest)


def _demonstrations_in(source: Source, row: Row, line: int) -> list[Demonstration]:
    if source.foreign is not None:
        made = source.foreign.parse(row, f"{source.path}:{line}", source.next_id(line))
        return [item for item in made if isinstance(item, Demonstration)]
    where, record_id = _place(source, row, line)
    return [demonstration_of(row, where, record_id)]


def _place(source: Source, row: Row, line: int) -> tuple[str, str]:
    """A row's place for messages, and its id."""
    where = f"{source.path}:{line}"
    record_id = id_cell(row, "id", where, source.next_id(line))
    return f"{where} (id {record_id})", record_id
