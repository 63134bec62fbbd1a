"""Preference pairs, demonstrations, prompts and documents from files of every known form.

The form is told from the file's name and its first row. Every row becomes a record, is refused with file and line, or
is left out and counted by reason; columns that are not read are listed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from boresight.data.pair_rows import PairRow, id_cell, refuse_misspelt, text_cell
from boresight.data.pair_stream import stream_pairs, take_id
from boresight.data.record_rows import (
    PROMPT_FIELDS,
    RESPONSE_NAMES,
    demonstration_of,
    kind_meta,
    prompt_of,
    row_messages,
    unfit_columns,
)
from boresight.data.refusals import Refuse, stop
from boresight.data.sources import Source, open_source
from boresight.data.tables import Row, container_of
from boresight.data.tally import Choice, Tally
from boresight.data.text_files import read_text
from boresight.data.transcripts import HUMAN, render_transcript
from boresight.errors import DataError
from boresight.records import Demonstration, Messages, PreferencePair, Prompt

BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReading:
    """`rows` is what was read, `dropped` what was left out by reason, `examples` the first lines for a reason."""

    format: str
    rows: int
    dropped: dict[str, int]
    examples: dict[str, list[int]]
    unused_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFile(FileReading):
    """`found` counts every oddity, in pairs that were kept too; a row can have several, but is dropped once."""

    pairs: list[PreferencePair]
    found: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemonstrationFile(FileReading):
    demonstrations: list[Demonstration]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile(FileReading):
    prompts: list[Prompt]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFile(FileReading):
    documents: list[str]


def detect_format(path: str | Path) -> str:
    """The form of a file: csv, tsv, text, or one of `sources.FORM_NAMES`. Raises DataError that lists the columns of an
    unknown form."""
    path = Path(path)
    return "text" if container_of(path) == "text" else open_source(path).shown


def read_pairs(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    form: str | None = None,
    on_identical: Choice = "error",
    on_empty: Choice = "error",
    on_context_differs: Choice = "error",
) -> PairFile:
    """Preference pairs of a file. `columns` names the columns of prompt, chosen, rejected, kind, p_chosen and id.

    Rows of two equal responses, an empty prompt or response, or differing contexts are refused, dropped or kept as
    the choices say; refused ones are collected, and one DataError tells all of them. Kept pairs of differing contexts
    have responses of more than one message. Answers that go on with a turn of the human's are kept and counted.
    """
    path = Path(path)
    stream = stream_pairs(path, form=form, columns=columns)
    choices: dict[str, Choice] = {
        "context_differs": on_context_differs,
        "identical": on_identical,
        **dict.fromkeys(("empty_chosen", "empty_rejected", "empty_prompt"), on_empty),
    }
    tally = Tally(path)
    pairs = []
    for line, row in stream:
        if goes_on_with_a_human(stream.source, row):
            tally.note("human_turn_in_response", line)
        if tally.judge(oddities(row, f"{path}:{line} (id {row.pair.id})"), choices, line):
            pairs.append(row.pair)
    _leave_out(stream.left_out, tally)
    tally.raise_refusals()
    return PairFile(
        format=stream.source.shown,
        rows=stream.source.read,
        pairs=pairs,
        found=tally.found,
        dropped=tally.dropped,
        examples=tally.examples,
        unused_columns=stream.unused_columns,
    )


def read_demonstrations(path: str | Path, *, form: str | None = None) -> DemonstrationFile:
    """Conversations to imitate: rows with `messages`, or with `prompt` and `response` (or `completion`), and the forms
    of others; of preference files the chosen conversations, each once and none with an empty answer (what is left out
    is counted)."""
    path = Path(path)
    source = open_source(path, form=form)
    tally = Tally(path)
    if source.kind == "pairs":
        stream = stream_pairs(path, form=form)
        source, used = stream.source, set(stream.used)
        demonstrations = list(_chosen_conversations(iter(stream), tally))
        _leave_out(stream.left_out, tally)
    else:
        used = used_columns(source, demonstrations=True)
        demonstrations = [item for _, item in demonstrations_of(source)]
    return DemonstrationFile(
        format=source.shown,
        rows=source.read,
        demonstrations=demonstrations,
        dropped=tally.dropped,
        examples=tally.examples,
        unused_columns=source.unused(used),
    )


def read_prompts(path: str | Path, *, form: str | None = None) -> PromptFile:
    """Prompts: prompt records, or rows with a `prompt`; of demonstrations and preference pairs what comes before the
    last answer. Of pairs each prompt is taken once, and one without text or that ends with an assistant message is
    left out (what is left out is counted)."""
    path = Path(path)
    source = open_source(path, form=form)
    tally = Tally(path)
    if source.kind == "pairs":
        stream = stream_pairs(path, form=form)
        source, used = stream.source, set(stream.used)
        prompts = list(_prompts_of_pairs(iter(stream), tally))
        _leave_out(stream.left_out, tally)
    else:
        used = used_columns(source)
        prompts = [item for _, item in prompts_of(source)]
    return PromptFile(
        format=source.shown,
        rows=source.read,
        prompts=prompts,
        dropped=tally.dropped,
        examples=tally.examples,
        unused_columns=source.unused(used),
    )


def used_columns(source: Source, *, demonstrations: bool = False) -> set[str]:
    """The columns that are read of rows that are no pairs; a demonstration has no field for what a rule expects."""
    if source.foreign is not None:
        return set(source.foreign.keys)
    if source.kind == "documents":
        return {"text"}
    used = {*PROMPT_FIELDS, "prompt", *RESPONSE_NAMES}
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


def _leave_out(lines_of: Mapping[str, list[int]], tally: Tally) -> None:
    for reason, lines in lines_of.items():
        for line in lines:
            tally.leave_out(reason, line)


def read_documents(path: str | Path) -> DocumentFile:
    """Plain text: a text file's documents are parted by blank lines; rows with `text` are documents; any other record
    file's conversations are written as "Human: …" and "Assistant: …" turns. Raises DataError where none is left."""
    path = Path(path)
    if container_of(path) == "text":
        blocks = BLANK_LINES.split(read_text(path).replace("\r\n", "\n").strip())
        documents = [block.strip("\n") for block in blocks if block.strip()]
        reading = FileReading(format="text", rows=len(documents), dropped={}, examples={}, unused_columns=())
    else:
        documents, reading = _row_documents(path)
    if not documents:
        raise DataError(f"{path}: found no text ({reading.rows} rows, all empty); expected at least one document.")
    return DocumentFile(
        format=reading.format,
        rows=reading.rows,
        documents=documents,
        dropped=reading.dropped,
        examples=reading.examples,
        unused_columns=reading.unused_columns,
    )


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


def _chosen_conversations(rows: Iterator[tuple[int, PairRow]], tally: Tally) -> Iterator[Demonstration]:
    seen: set[Messages] = set()
    for line, row in rows:
        messages = row.pair.prompt + row.pair.chosen
        if not messages[-1].content.strip():
            tally.leave_out("empty_chosen", line)
        elif messages in seen:
            tally.leave_out("duplicate", line)
        else:
            seen.add(messages)
            yield Demonstration(id=row.pair.id, messages=messages, meta=kind_meta(row.pair.kind, {}))


def _prompts_of_pairs(rows: Iterator[tuple[int, PairRow]], tally: Tally) -> Iterator[Prompt]:
    seen: set[Messages] = set()
    for line, row in rows:
        messages = (row.pair.prompt + row.pair.chosen)[:-1]
        if not any(m.content.strip() for m in messages):
            tally.leave_out("empty_prompt", line)
        elif messages[-1].role == "assistant":
            tally.leave_out("ends_with_assistant", line)
        elif messages in seen:
            tally.leave_out("duplicate", line)
        else:
            seen.add(messages)
            yield Prompt(id=row.pair.id, messages=messages, kind=row.pair.kind)


def _row_documents(path: Path) -> tuple[list[str], FileReading]:
    source = open_source(path)
    if source.kind == "pairs" or source.foreign is not None or source.form == "prompt_response":
        demonstrations = read_demonstrations(path)
        return [render_transcript(d.messages) for d in demonstrations.demonstrations], demonstrations
    tally = Tally(path)
    documents = []
    for line, row in source.rows:
        where = f"{path}:{line}"
        documentary = source.form == "documents"
        text = text_cell(row, "text", where) if documentary else render_transcript(row_messages(row, where))
        if text.strip():
            documents.append(text)
        else:
            tally.leave_out("empty", line)
    return documents, FileReading(
        format=source.shown,
        rows=source.read,
        dropped=tally.dropped,
        examples=tally.examples,
        unused_columns=source.unused({"text"} if source.form == "documents" else {"messages", "prompt"}),
    )
