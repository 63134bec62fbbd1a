"""Preference pairs, demonstrations, prompts and documents from files of every known form.

The form is told from the file's name and its first row. Every row becomes a record, is refused with file and line, or
is left out and counted by reason; columns that are not read are listed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from boresight.data.pair_rows import SYSTEM_NAMES, PairRow, text_cell
from boresight.data.pair_stream import goes_on_with_a_human, oddities, stream_pairs
from boresight.data.record_rows import kind_meta, row_messages
from boresight.data.record_stream import demonstrations_of, prompts_of, used_columns
from boresight.data.refusals import Refuse, pass_over, stop
from boresight.data.sources import open_source
from boresight.data.tables import container_of
from boresight.data.tally import Choice, Tally
from boresight.data.text_files import read_text
from boresight.data.transcripts import render_transcript
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
    """Demonstrations, as one file holds them."""

    demonstrations: list[Demonstration]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile(FileReading):
    """Prompts, as one file holds them."""

    prompts: list[Prompt]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFile(FileReading):
    """Documents of plain text, as one file holds them."""

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
    on_unreadable: Literal["error", "drop"] = "error",
    aside: Refuse = pass_over,
) -> PairFile:
    """Preference pairs of a file. `columns` names the columns of prompt, chosen, rejected, kind, p_chosen, id and
    system.

    Rows of two equal responses, an empty prompt or response, or differing contexts are refused, dropped or kept as
    the choices say; refused ones are collected, and one DataError tells all of them. Kept pairs of differing contexts
    have responses of more than one message. Answers that go on with a turn of the human's are kept and counted. A row
    that cannot be read at all ends the reading, or is dropped as `unreadable`. `aside` is told of each row that is
    left out.
    """
    path = Path(path)
    tally = Tally(path, aside)

    def drop(error: DataError, line: int, found: object) -> None:
        tally.leave_out("unreadable", line, error, found)

    stream = stream_pairs(path, form=form, columns=columns, refuse=stop if on_unreadable == "error" else drop)
    choices: dict[str, Choice] = {
        "context_differs": on_context_differs,
        "identical": on_identical,
        **dict.fromkeys(("empty_chosen", "empty_rejected", "empty_prompt"), on_empty),
    }
    pairs = []
    for line, row in stream:
        if goes_on_with_a_human(stream.source, row):
            tally.note("human_turn_in_response", line)
        if tally.judge(oddities(row, f"{path}:{line} (id {row.pair.id})"), choices, line, row.pair):
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


def read_demonstrations(path: str | Path, *, form: str | None = None, aside: Refuse = pass_over) -> DemonstrationFile:
    """Conversations to imitate: rows with `messages`, or with `prompt` and `response` (or `completion`), and the forms
    of others; of preference files the chosen conversations, each once and none with an empty answer (what is left out
    is counted)."""
    path = Path(path)
    source = open_source(path, form=form)
    tally = Tally(path, aside)
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


def read_prompts(path: str | Path, *, form: str | None = None, aside: Refuse = pass_over) -> PromptFile:
    """Prompts: prompt records, or rows with a `prompt`; of demonstrations and preference pairs what comes before the
    last answer. Of pairs each prompt is taken once, and one without text or that ends with an assistant message is
    left out (what is left out is counted)."""
    path = Path(path)
    source = open_source(path, form=form)
    tally = Tally(path, aside)
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


def _leave_out(lines_of: Mapping[str, list[int]], tally: Tally) -> None:
    for reason, lines in lines_of.items():
        for line in lines:
            tally.leave_out(reason, line)


def read_documents(path: str | Path, *, aside: Refuse = pass_over) -> DocumentFile:
    """Plain text: a text file's documents are parted by blank lines; rows with `text` are documents; any other record
    file's conversations are written as "Human: …" and "Assistant: …" turns. Raises DataError where none is left."""
    path = Path(path)
    if container_of(path) == "text":
        blocks = BLANK_LINES.split(read_text(path).replace("\r\n", "\n").strip())
        documents = [block.strip("\n") for block in blocks if block.strip()]
        reading = FileReading(format="text", rows=len(documents), dropped={}, examples={}, unused_columns=())
    else:
        documents, reading = _row_documents(path, aside)
    if not documents:
        raise DataError(
            f"{path}: found no text ({reading.rows} rows, all empty); expected at least one document."
            " Give a file with text."
        )
    return DocumentFile(
        format=reading.format,
        rows=reading.rows,
        documents=documents,
        dropped=reading.dropped,
        examples=reading.examples,
        unused_columns=reading.unused_columns,
    )


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


def _row_documents(path: Path, aside: Refuse) -> tuple[list[str], FileReading]:
    source = open_source(path)
    if source.kind == "pairs" or source.foreign is not None or source.form == "prompt_response":
        demonstrations = read_demonstrations(path, aside=aside)
        return [render_transcript(d.messages) for d in demonstrations.demonstrations], demonstrations
    tally = Tally(path, aside)
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
        unused_columns=source.unused({"text"} if source.form == "documents" else {"messages", "prompt", *SYSTEM_NAMES}),
    )
