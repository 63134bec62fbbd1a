"""Rows that are no preference pairs, as demonstrations and prompts."""

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from boresight.data.json_text import kind_of
from boresight.data.jsonl import from_record, messages_from
from boresight.data.pair_rows import prompt_messages, system_column, text_cell, with_system
from boresight.data.tables import Row
from boresight.errors import DataError
from boresight.records import Demonstration, Message, Messages, Prompt

PROMPT_FIELDS = tuple(spec.name for spec in fields(Prompt))
RESPONSE_NAMES = ("response", "completion")


def row_form(path: Path, columns: Collection[str], first: Row) -> str:
    """The form of rows that are no pairs; DataError that lists the columns of an unknown one."""
    if "messages" in columns:
        messages = first.get("messages")
        last = messages[-1] if isinstance(messages, list) and messages else None
        return "conversations" if isinstance(last, dict) and last.get("role") == "assistant" else "prompts"
    if "prompt" in columns:
        return "prompt_response" if set(columns) & set(RESPONSE_NAMES) else "prompts"
    if "text" in columns:
        return "documents"
    raise unfit_columns(
        path,
        columns,
        "expected prompt, chosen and rejected (pairs), messages or prompt and response (demonstrations), prompt "
        "(prompts), or text (documents)",
    )


def row_messages(row: Row, where: str) -> Messages:
    """The conversation of a row with `messages`, or with `prompt` and perhaps a response, after its system message
    where that has a column of its own; DataError without any."""
    if row.get("messages") is not None:
        messages = messages_from(row["messages"], f'{where}: "messages"')
    elif row.get("prompt") is not None:
        messages = prompt_messages(row["prompt"], f'{where}: "prompt"')
        response = next((name for name in RESPONSE_NAMES if name in row), None)
        if response is not None:
            messages += _response_messages(row, response, where)
    else:
        raise DataError(
            f"{where}: found neither `messages` nor `prompt`; the row has {', '.join(row)}."
            " Rename the column that holds it, or leave the row out."
        )
    if not messages:
        raise DataError(
            f'{where}: "messages" is empty; expected at least one message. Correct the row, or leave it out.'
        )
    return with_system(row, system_column(row), messages, where)


def _response_messages(row: Row, column: str, where: str) -> Messages:
    """A response given as text, or as messages (TRL's conversational form)."""
    if isinstance(row[column], list):
        return messages_from(row[column], f'{where}: "{column}"')
    return (Message("assistant", text_cell(row, column, where)),)


def demonstration_of(row: Row, where: str, record_id: str) -> Demonstration:
    """A row as a demonstration. Raises DataError where it does not end with an assistant's text."""
    meta = row.get("meta")
    if meta is not None and not isinstance(meta, dict):
        raise DataError(f'{where}: "meta" is {kind_of(meta)}, expected an object. Correct the row, or leave it out.')
    closed = closed_demonstration(record_id, row_messages(row, where), where)
    return replace(closed, meta=kind_meta(text_cell(row, "kind", where), meta or {}))


def closed_demonstration(record_id: str, messages: Messages, where: str) -> Demonstration:
    """A conversation as a demonstration. Raises DataError where it does not end with an assistant's text."""
    if not messages or messages[-1].role != "assistant" or not messages[-1].content.strip():
        found = "is absent" if not messages else "is empty"
        if messages and messages[-1].role != "assistant":
            found = f"has the role {messages[-1].role}"
        raise DataError(
            f"{where}: the last message {found}; a demonstration ends with what the assistant should say. Correct the "
            "record, or leave it out."
        )
    return Demonstration(id=record_id, messages=messages)


def prompt_of(row: Row, where: str, record_id: str) -> Prompt:
    """A row as a prompt: the whole conversation, or what comes before its last answer. DataError where it is empty."""
    messages = row_messages(row, where)
    if messages[-1].role == "assistant":
        messages = messages[:-1]
    if not any(m.content.strip() for m in messages):
        raise DataError(f"{where}: the prompt is empty; expected text. Correct the record, or leave it out.")
    plain = [{"role": m.role, "content": m.content} for m in messages]
    rest = {key: row[key] for key in ("kind", "expect", "meta") if row.get(key) not in (None, "")}
    return from_record(Prompt, {"id": record_id, "messages": plain, **rest}, where)


def kind_meta(kind: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    """A demonstration has no field for the kind of its prompt; it travels in `meta`."""
    return {**meta, "kind": kind} if kind else dict(meta)


def unfit_columns(path: Path, columns: Collection[str], expected: str) -> DataError:
    """The error for a file of other columns than expected."""
    return DataError(
        f"{path}: found the columns {', '.join(columns)}; {expected}. Rename columns to these, name "
        "those of a pair's parts (`columns`, or --column chosen=NAME), or force a form (--format)."
    )
