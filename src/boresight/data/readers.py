"""Preference pairs, demonstrations, prompts and documents from files of every known form.

The form is told from the file's name and its first row. Every row becomes a record, is refused with file and line, or
is left out and counted by reason; columns that are not read are listed.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from boresight.data.pair_rows import (
    OWN_FIELDS,
    USUAL_NAMES,
    PairColumns,
    PairRow,
    find_columns,
    holds_pairs,
    id_cell,
    pair_form,
    parse_pair,
    refuse_misspelt,
    text_cell,
)
from boresight.data.record_rows import (
    PROMPT_FIELDS,
    RESPONSE_NAMES,
    demonstration_of,
    kind_meta,
    prompt_of,
    row_form,
    row_messages,
    unfit_columns,
)
from boresight.data.tables import Row, Table, container_of, read_table
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
    """The form of a file: csv, tsv, boresight, trl_explicit, trl_implicit, hh_rlhf, conversations, prompt_response,
    prompts, documents, text. Raises DataError that lists the columns of an unknown form."""
    path = Path(path)
    if container_of(path) == "text":
        return "text"
    table = read_table(path)
    form = pair_form(path, table, find_columns(path, table.columns)) if holds_pairs(table) else row_form(path, table)
    return _shown(table, form)


def read_pairs(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
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
    table = read_table(path)
    names = find_columns(path, table.columns, columns)
    form = pair_form(path, table, names)
    choices: dict[str, Choice] = {
        "context_differs": on_context_differs,
        "identical": on_identical,
        **dict.fromkeys(("empty_chosen", "empty_rejected", "empty_prompt"), on_empty),
    }
    tally = Tally(path)
    pairs = []
    for line, row in _pair_rows(path, table, names, form):
        sides = (row.pair.chosen[-1].content, row.pair.rejected[-1].content)
        if form == "hh_rlhf" and any(HUMAN in side for side in sides):
            tally.note("human_turn_in_response", line)
        if tally.judge(_oddities(row, f"{path}:{line} (id {row.pair.id})"), choices, line):
            pairs.append(row.pair)
    tally.raise_refusals()
    return PairFile(
        format=_shown(table, form),
        rows=len(table.rows),
        pairs=pairs,
        found=tally.found,
        dropped=tally.dropped,
        examples=tally.examples,
        unused_columns=_unused(table, OWN_FIELDS if form == "boresight" else names.used()),
    )


def read_demonstrations(path: str | Path) -> DemonstrationFile:
    """Conversations to imitate: rows with `messages`, or with `prompt` and `response` (or `completion`); of preference
    files the chosen conversations, each once and none with an empty answer (what is left out is counted)."""
    path = Path(path)
    table = read_table(path)
    tally = Tally(path)
    if holds_pairs(table):
        names = find_columns(path, table.columns)
        form, used = pair_form(path, table, names), names.used() | set(OWN_FIELDS)
        demonstrations = list(_chosen_conversations(_pair_rows(path, table, names, form), tally))
    else:
        form, used = row_form(path, table), {"id", "kind", "messages", "prompt", "meta", *RESPONSE_NAMES}
        if "messages" not in table.columns and form != "prompt_response":
            raise unfit_columns(path, table, "demonstrations need `messages`, or `prompt` and `response`")
        refuse_misspelt(path, table.columns, ("id", "kind", "messages", "meta"))
        demonstrations = [demonstration_of(row, where, record_id) for row, where, record_id in _rows(path, table)]
    return DemonstrationFile(
        format=_shown(table, form),
        rows=len(table.rows),
        demonstrations=demonstrations,
        dropped=tally.dropped,
        examples=tally.examples,
        unused_columns=_unused(table, used),
    )


def read_prompts(path: str | Path) -> PromptFile:
    """Prompts: prompt records, or rows with a `prompt`; of demonstrations and preference pairs what comes before the
    last answer. Of pairs each prompt is taken once, and one without text or that ends with an assistant message is
    left out (what is left out is counted)."""
    path = Path(path)
    table = read_table(path)
    tally = Tally(path)
    if holds_pairs(table):
        names = find_columns(path, table.columns)
        form, used = pair_form(path, table, names), names.used() | set(OWN_FIELDS)
        prompts = list(_prompts_of_pairs(_pair_rows(path, table, names, form), tally))
    else:
        form, used = row_form(path, table), {*PROMPT_FIELDS, "prompt", *RESPONSE_NAMES}
        if form == "documents":
            raise unfit_columns(path, table, "prompts need `messages` or `prompt`")
        refuse_misspelt(path, table.columns, PROMPT_FIELDS)
        prompts = [prompt_of(row, where, record_id) for row, where, record_id in _rows(path, table)]
    return PromptFile(
        format=_shown(table, form),
        rows=len(table.rows),
        prompts=prompts,
        dropped=tally.dropped,
        examples=tally.examples,
        unused_columns=_unused(table, used),
    )


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


def _pair_rows(path: Path, table: Table, names: PairColumns, form: str) -> Iterator[tuple[int, PairRow]]:
    refuse_misspelt(path, table.columns, OWN_FIELDS if form == "boresight" else tuple(USUAL_NAMES))
    line_of: dict[str, int] = {}
    for line, row in table.rows:
        parsed = parse_pair(form, row, names, f"{path}:{line}", _default_id(path, line))
        _take_id(path, parsed.pair.id, line, line_of)
        yield line, parsed


def _rows(path: Path, table: Table) -> Iterator[tuple[Row, str, str]]:
    """Rows that are no pairs, each with its place for messages and its id."""
    line_of: dict[str, int] = {}
    for line, row in table.rows:
        record_id = id_cell(row, "id", f"{path}:{line}", _default_id(path, line))
        _take_id(path, record_id, line, line_of)
        yield row, f"{path}:{line} (id {record_id})", record_id


def _oddities(row: PairRow, where: str) -> dict[str, str]:
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
    table = read_table(path)
    if holds_pairs(table) or (form := row_form(path, table)) == "prompt_response":
        demonstrations = read_demonstrations(path)
        return [render_transcript(d.messages) for d in demonstrations.demonstrations], demonstrations
    tally = Tally(path)
    documents = []
    for line, row in table.rows:
        where = f"{path}:{line}"
        text = text_cell(row, "text", where) if form == "documents" else render_transcript(row_messages(row, where))
        if text.strip():
            documents.append(text)
        else:
            tally.leave_out("empty", line)
    return documents, FileReading(
        format=_shown(table, form),
        rows=len(table.rows),
        dropped=tally.dropped,
        examples=tally.examples,
        unused_columns=_unused(table, {"text"} if form == "documents" else {"messages", "prompt"}),
    )


def _shown(table: Table, form: str) -> str:
    return table.container if table.container in ("csv", "tsv") else form


def _unused(table: Table, used: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in table.columns if name not in used)


def _default_id(path: Path, line: int) -> str:
    return f"{path.name.split('.')[0]}:{line}"


def _take_id(path: Path, record_id: str, line: int, line_of: dict[str, int]) -> None:
    if record_id in line_of:
        raise DataError(
            f"{path}:{line}: the id {record_id!r} is that of line {line_of[record_id]} too; ids must differ, because "
            "counts and messages go by them. Rename one of them."
        )
    line_of[record_id] = line
