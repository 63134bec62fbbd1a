"""ShareGPT conversations: `conversations` of {"from", "value"}, alone or in front of a chosen and a rejected one."""

from collections.abc import Sequence
from typing import Any

from boresight.data.forms import Form, Row, list_at, mapping_of, text_at, text_or_none
from boresight.data.pair_rows import PairRow, id_cell
from boresight.data.record_rows import closed_demonstration
from boresight.errors import DataError
from boresight.records import Demonstration, Message, Messages, PreferencePair

ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
    "bard": "assistant", "bing": "assistant", "system": "system", "observation": "tool", "tool": "tool",
}  # fmt: skip
NAMES = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}


def from_sharegpt(value: Sequence[Any], where: str) -> Messages:
    """Messages of {"from", "value"} items. Raises DataError for a speaker that is no role, such as a function call."""
    messages = []
    for number, item in enumerate(value, start=1):
        place = f"{where}, message {number}"
        turn = mapping_of(item, place)
        speaker = turn.get("from")
        if not isinstance(speaker, str) or speaker not in ROLES:
            raise DataError(
                f'{place}: "from" is {speaker!r}; expected one of {", ".join(ROLES)}. Rename it, or leave the row out.'
            )
        messages.append(Message(ROLES[speaker], text_at(turn, "value", place)))
    return tuple(messages)


def to_sharegpt(messages: Messages) -> list[dict[str, str]]:
    """Messages as turns of ShareGPT: `from` and `value`."""
    return [{"from": NAMES[message.role], "value": message.content} for message in messages]


def _history(row: Row, where: str) -> Messages:
    system = text_or_none(row, "system", where)
    before = (Message("system", system),) if system else ()
    return before + from_sharegpt(list_at(row, "conversations", where), f'{where}: "conversations"')


def _side(row: Row, key: str, where: str) -> Messages:
    value = row.get(key)
    items = value if isinstance(value, list) else [value]
    messages = from_sharegpt(items, f'{where}: "{key}"')
    if not messages or messages[-1].role != "assistant":
        raise DataError(
            f'{where}: "{key}": expected a message of the assistant (from "gpt") at its end.'
            " Correct the row, or leave it out."
        )
    return messages


def _pair(row: Row, where: str, default_id: str) -> list[PairRow]:
    record_id = id_cell(row, "id", where, default_id)
    chosen, rejected = (_side(row, key, where) for key in ("chosen", "rejected"))
    return [PairRow(PreferencePair(id=record_id, prompt=_history(row, where), chosen=chosen, rejected=rejected))]


def _demonstration(row: Row, where: str, default_id: str) -> list[Demonstration]:
    return [closed_demonstration(id_cell(row, "id", where, default_id), _history(row, where), where)]


def _is_turns(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and "from" in item for item in value)


_KEYS = frozenset({"id", "system", "conversations"})
FORMS = (
    Form(
        "sharegpt_pairs",
        "pairs",
        _KEYS | {"chosen", "rejected"},
        lambda row: _is_turns(row.get("conversations")) and "chosen" in row and "rejected" in row,
        _pair,
    ),
    Form("sharegpt", "demonstrations", _KEYS, lambda row: _is_turns(row.get("conversations")), _demonstration),
)
