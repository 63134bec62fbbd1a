"""Which form a preference row has, and what prompt, chosen and rejected response it holds.

Forms: `boresight` (our own record); `trl_explicit` (prompt, chosen, rejected: texts or message lists); `trl_implicit`
(chosen and rejected conversations that share their beginning); `hh_rlhf` (the same as transcripts).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from boresight.data.json_text import kind_of
from boresight.data.jsonl import from_record, messages_from, probability
from boresight.data.tables import Row
from boresight.data.transcripts import HUMAN, is_transcript, parse_transcript
from boresight.errors import DataError
from boresight.records import Message, Messages, PreferencePair

USUAL_NAMES = {
    "prompt": ("prompt",),
    "chosen": ("chosen", "good_answer"),
    "rejected": ("rejected", "bad_answer"),
    "kind": ("kind",),
    "p_chosen": ("p_chosen",),
    "id": ("id",),
    "system": ("system", "system_prompt"),
}
SYSTEM_NAMES = USUAL_NAMES["system"]
OWN_FIELDS = tuple(spec.name for spec in fields(PreferencePair))


@dataclass(frozen=True, slots=True)
class PairColumns:
    """Names of the columns that a file's rows are read from; absent ones are None."""

    chosen: str
    rejected: str
    prompt: str | None = None
    kind: str | None = None
    p_chosen: str | None = None
    id: str | None = None
    system: str | None = None

    def used(self) -> set[str]:
        return {name for spec in fields(self) if (name := getattr(self, spec.name))}


@dataclass(frozen=True, slots=True)
class PairRow:
    """A row as a pair. `context_differs`: the conversations part before the last answer, so that the responses hold
    more than one message."""

    pair: PreferencePair
    context_differs: bool = False


def find_columns(path: Path, found: Collection[str], named: Mapping[str, str] | None = None) -> PairColumns:
    """The columns of prompt, chosen, rejected and so on: those named, or the usual names in any spelling of case.

    Raises DataError that lists the columns found and how to name them.
    """
    named = named or {}
    _check_named(path, found, named)
    spelled: dict[str, list[str]] = {}
    for name in found:
        spelled.setdefault(_spelling(name), []).append(name)
    columns: dict[str, str] = dict(named)
    for part in USUAL_NAMES.keys() - named.keys():
        matches = [name for usual in USUAL_NAMES[part] for name in spelled.get(usual, []) if name not in named.values()]
        if len(matches) > 1:
            raise DataError(
                f"{path}: the columns {' and '.join(matches)} could each hold {part!r}. Say which: "
                f"`columns: {{{part}: {matches[0]}}}`."
            )
        if matches:
            columns[part] = matches[0]
    for part in ("chosen", "rejected"):
        if part not in columns:
            raise DataError(
                f"{path}: no column holds {part!r}; found the columns {', '.join(found)}; expected "
                f"{' or '.join(USUAL_NAMES[part])}. Name it: `columns: {{{part}: NAME}}`, or --column {part}=NAME."
            )
    return PairColumns(**columns)


def holds_pairs(columns: Collection[str]) -> bool:
    """Whether there are columns that by their usual names hold chosen and rejected responses."""
    spelled = {_spelling(name) for name in columns}
    return all(spelled & set(USUAL_NAMES[part]) for part in ("chosen", "rejected"))


def pair_form(path: Path, found: Collection[str], line: int, row: Row, columns: PairColumns) -> str:
    """The form of a file's rows, told from its first row. Raises DataError for a form that is not known."""
    chosen, rejected = row.get(columns.chosen), row.get(columns.rejected)
    if isinstance(chosen, list) and isinstance(rejected, list):
        if columns.prompt is None:
            return "trl_implicit"
        own = isinstance(row.get(columns.prompt), list) and set(found) <= set(OWN_FIELDS) and "id" in row
        return "boresight" if own else "trl_explicit"
    if isinstance(chosen, str) and isinstance(rejected, str):
        if columns.prompt is not None:
            return "trl_explicit"
        if is_transcript(chosen) and is_transcript(rejected):
            return "hh_rlhf"
        raise DataError(
            f"{path}:{line}: no column holds the prompt, and {columns.chosen!r} is no transcript of Human and "
            f"Assistant turns; found the columns {', '.join(found)}. Add a prompt column, or name it: "
            "`columns: {prompt: NAME}`, or --column prompt=NAME."
        )
    raise DataError(
        f"{path}:{line}: {columns.chosen!r} is {kind_of(chosen)} and {columns.rejected!r} {kind_of(rejected)}; "
        "expected two texts or two lists of messages."
        " Correct the row, or leave it out."
    )


def parse_pair(form: str, row: Row, columns: PairColumns, where: str, default_id: str) -> PairRow:
    """One row of the given form. Raises DataError that begins with `where` for a row of any other."""
    if form == "boresight":
        return PairRow(from_record(PreferencePair, _named_as_ours(row, columns), where))
    record_id = id_cell(row, columns.id, where, default_id)
    where = f"{where} (id {record_id})" if record_id != default_id else where
    if form == "trl_explicit":
        prompt, chosen, rejected, differs = _explicit(row, columns, where)
    else:
        sides = [_conversation(form, row, name, where) for name in (columns.chosen, columns.rejected)]
        prompt, chosen, rejected, differs = split_conversations(*sides)
    pair = PreferencePair(
        id=record_id,
        prompt=with_system(row, columns.system, prompt, where),
        chosen=chosen,
        rejected=rejected,
        kind=text_cell(row, columns.kind, where),
        p_chosen=_probability_cell(row, columns.p_chosen, where),
    )
    return PairRow(pair, differs)


def split_conversations(chosen: Messages, rejected: Messages) -> tuple[Messages, Messages, Messages, bool]:
    """Prompt, chosen and rejected response of two whole conversations, and whether their contexts differ.

    Equal up to the last message: that is the response. Otherwise the prompt is what they share, and the responses are
    the rest, of more than one message.
    """
    shared = 0
    for one, other in zip(chosen[:-1], rejected[:-1], strict=False):
        if one != other:
            break
        shared += 1
    differs = chosen[:-1] != rejected[:-1]
    return chosen[:shared], chosen[shared:], rejected[shared:], differs


def prompt_messages(value: Any, where: str) -> Messages:
    """A prompt given as text (a transcript that waits for the assistant is taken apart), or as messages."""
    if not isinstance(value, str):
        return messages_from(value, where)
    if value.startswith(HUMAN) and is_transcript(value):
        messages = parse_transcript(value, where)
        return messages[:-1] if not messages[-1].content else messages
    return (Message("user", value),)


def system_column(row: Row) -> str | None:
    """The column of a row that holds its system message; None where it has none."""
    return next((name for name in SYSTEM_NAMES if name in row), None)


def with_system(row: Row, column: str | None, messages: Messages, where: str) -> Messages:
    """The messages after the system message that stands in a column of its own; without one, as they are. DataError
    where they begin with another one."""
    text = text_cell(row, column, where)
    if not text.strip():
        return messages
    if messages and messages[0].role == "system":
        if messages[0].content.strip() == text.strip():
            return messages
        raise DataError(
            f'{where}: "{column}" and the system message of the conversation are two; expected one. Take one of them '
            "out, or rename the column where it holds something else."
        )
    return (Message("system", text), *messages)


def text_cell(row: Row, column: str | None, where: str) -> str:
    """A cell's text; "" where the column or the value is absent. DataError for what is no text."""
    value = row.get(column) if column else None
    if value is not None and not isinstance(value, str):
        raise DataError(f'{where}: "{column}" is {kind_of(value)}, expected a text. Correct the row, or leave it out.')
    return value or ""


def refuse_misspelt(path: Path, found: Collection[str], known: Collection[str]) -> None:
    """DataError for a column that is almost a known one which is absent: its values would be lost unseen."""
    for name in found:
        near = get_close_matches(name, [k for k in known if k not in found], n=1, cutoff=0.85)
        if name not in known and near:
            raise DataError(
                f"{path}: unknown column {name!r}; did you mean {near[0]!r}? Rename it: to that, or to something else "
                "where it is not meant."
            )


def _spelling(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")


def _check_named(path: Path, found: Collection[str], named: Mapping[str, str]) -> None:
    for part, name in named.items():
        if part not in USUAL_NAMES:
            raise DataError(
                f"{path}: `columns` names {part!r}; expected parts among {', '.join(USUAL_NAMES)}. Name one of these."
            )
        if name not in found:
            raise DataError(
                f"{path}: `columns` says that {name!r} holds {part!r}, but the file has no such column; found "
                f"{', '.join(found)}."
                " Name one of these columns."
            )


def _named_as_ours(row: Row, columns: PairColumns) -> Row:
    names = {columns.prompt: "prompt", columns.chosen: "chosen", columns.rejected: "rejected", columns.kind: "kind"}
    return {names.get(key, key): value for key, value in row.items()}


def id_cell(row: Row, column: str | None, where: str, default_id: str) -> str:
    """A row's id as text, or the default where it has none. DataError for what is neither text nor whole number."""
    value = row.get(column) if column else None
    if value is None or value == "":
        return default_id
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(
            f'{where}: "{column}" is {kind_of(value)}, expected a text or a whole number.'
            " Correct the row, or leave it out."
        )
    return str(value)


def _probability_cell(row: Row, column: str | None, where: str) -> float:
    value = row.get(column) if column else None
    if value is None or value == "":
        return 1.0
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError as error:
            raise DataError(
                f'{where}: "{column}" is {value!r}, expected a probability from 0 to 1.'
                " Correct the row, or leave it out."
            ) from error
    return probability(value, f'{where}: "{column}"')


def _conversation(form: str, row: Row, column: str, where: str) -> Messages:
    value = row.get(column)
    if form == "hh_rlhf":
        if not isinstance(value, str):
            raise DataError(
                f'{where}: "{column}" is {kind_of(value)}, expected a transcript as in the first row.'
                " Correct the row, or leave it out."
            )
        return parse_transcript(value, f'{where}: "{column}"')
    return _closed(messages_from(value, f'{where}: "{column}"'), f'{where}: "{column}"')


def _explicit(row: Row, columns: PairColumns, where: str) -> tuple[Messages, Messages, Messages, bool]:
    if columns.prompt is None:
        raise DataError(
            f"{where}: no column holds the prompt; found {', '.join(row)}. Name it: `columns: {{prompt: NAME}}`, or "
            "--column prompt=NAME."
        )
    prompt = prompt_messages(row.get(columns.prompt), f'{where}: "{columns.prompt}"')
    sides: list[Messages] = []
    for name in (columns.chosen, columns.rejected):
        value = row.get(name)
        if isinstance(value, str):
            sides.append((Message("assistant", value),))
        else:
            sides.append(_closed(messages_from(value, f'{where}: "{name}"'), f'{where}: "{name}"'))
    if all(side[0].role == "assistant" for side in sides):
        return prompt, sides[0], sides[1], False
    # Some data sets repeat the prompt in front of each response, a few with a system message that it lacks.
    shared, chosen, rejected, differs = split_conversations(sides[0], sides[1])
    if not differs and shared[len(shared) - len(prompt) :] != prompt:
        raise DataError(
            f'{where}: "{columns.chosen}" and "{columns.rejected}" are whole conversations, but do not begin with the '
            f'prompt in "{columns.prompt}". Correct the row, or take the prompt column out.'
        )
    return shared, chosen, rejected, differs


def _closed(messages: Messages, where: str) -> Messages:
    if not messages or messages[-1].role != "assistant":
        found = f"ends with a message of the role {messages[-1].role}" if messages else "is empty"
        raise DataError(
            f"{where}: {found}; expected an assistant message at its end. Correct the row, or leave it out."
        )
    return messages
