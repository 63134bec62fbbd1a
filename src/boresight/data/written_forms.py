"""Records as rows of other forms. What a form has no place for is left away here; `conversion` finds and counts it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from boresight.data.alpaca import FORMS as ALPACA
from boresight.data.forms import Form, Row
from boresight.data.jsonl import as_record, from_record
from boresight.data.openai_rows import FORMS as OPENAI
from boresight.data.pair_rows import PairColumns, PairRow, parse_pair
from boresight.data.record_rows import demonstration_of, prompt_of
from boresight.data.record_stream import Record
from boresight.data.sharegpt import FORMS as SHAREGPT
from boresight.data.sharegpt import to_sharegpt
from boresight.data.transcripts import ASSISTANT, MARKERS
from boresight.data.unpaired import join_unpaired, unpaired_row
from boresight.errors import DataError
from boresight.records import Demonstration, Message, Messages, PreferencePair, Prompt

R = TypeVar("R", PreferencePair, Demonstration, Prompt)
COLUMNS = PairColumns("chosen", "rejected", "prompt", "kind", "p_chosen", "id")
WITHOUT_PROMPT = replace(COLUMNS, prompt=None)
UNKNOWN = "(no id)"  # the id that a row gets which cannot hold one


@dataclass(frozen=True, slots=True)
class Target(Generic[R]):
    """How a record is written as rows of a form, and how these rows read. `tabular`: all values are texts."""

    write: Callable[[R], list[Row]]
    read: Callable[[list[Row]], R]
    tabular: bool = False


def _messages(messages: Messages) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _text(messages: Messages, what: str) -> str:
    """The text of a response that is one assistant message."""
    if [message.role for message in messages] != ["assistant"]:
        roles = ", ".join(message.role for message in messages) or "none"
        raise DataError(
            f"{what} holds messages of the roles {roles}; this form has room for one text of the assistant."
            " Choose a form of messages, such as openai."
        )
    return messages[0].content


def _prompt_text(messages: Messages) -> str:
    """One user message as its text; a longer conversation as a transcript that waits for the assistant."""
    if [message.role for message in messages] == ["user"]:
        return messages[0].content
    return _transcript(messages) + ASSISTANT


def _transcript(messages: Messages) -> str:
    parts = []
    for message in messages:
        if message.role not in MARKERS:
            raise DataError(f"a transcript has no marker for the role {message.role}; it knows user and assistant.")
        parts.append(f"{MARKERS[message.role]} {message.content}")
    return "".join(parts)


def _more(pair: PreferencePair) -> Row:
    """The id, and what is not as usual of the parts that the usual columns hold."""
    return {
        "id": pair.id,
        **({"kind": pair.kind} if pair.kind else {}),
        **({"p_chosen": pair.p_chosen} if pair.p_chosen != 1.0 else {}),
    }


def _explicit(pair: PreferencePair) -> list[Row]:
    prompt, chosen, rejected = _prompt_text(pair.prompt), _text(pair.chosen, "chosen"), _text(pair.rejected, "rejected")
    return [{"prompt": prompt, "chosen": chosen, "rejected": rejected, **_more(pair)}]


def _conversational(pair: PreferencePair) -> list[Row]:
    sides = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
    return [{**{name: _messages(side) for name, side in sides.items()}, **_more(pair)}]


def _implicit(pair: PreferencePair) -> list[Row]:
    sides = {"chosen": pair.prompt + pair.chosen, "rejected": pair.prompt + pair.rejected}
    return [{**{name: _messages(side) for name, side in sides.items()}, **_more(pair)}]


def _unpaired(pair: PreferencePair) -> list[Row]:
    prompt, sides = _messages(pair.prompt), ((pair.chosen, True), (pair.rejected, False))
    return [{"prompt": prompt, "completion": _messages(side), "label": good} for side, good in sides]


def _hh(pair: PreferencePair) -> list[Row]:
    return [{"chosen": _transcript(pair.prompt + pair.chosen), "rejected": _transcript(pair.prompt + pair.rejected)}]


def _sharegpt_pair(pair: PreferencePair) -> list[Row]:
    sides: dict[str, Any] = {"chosen": to_sharegpt(pair.chosen), "rejected": to_sharegpt(pair.rejected)}
    single = {name: side[0] if len(side) == 1 else side for name, side in sides.items()}
    return [{"id": pair.id, "conversations": to_sharegpt(pair.prompt), **single}]


def _alpaca_prompt(messages: Messages) -> Row:
    """System message, earlier turns by twos, and the last question as the instruction."""
    system = messages[0].content if messages and messages[0].role == "system" else ""
    turns = messages[1:] if system else messages
    if [message.role for message in turns] != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
        roles = ", ".join(message.role for message in messages) or "none"
        raise DataError(
            f"the prompt has the roles {roles}; this form holds turns of user and assistant, a user's last."
        )
    history = [[turns[i].content, turns[i + 1].content] for i in range(0, len(turns) - 1, 2)]
    return {
        "instruction": turns[-1].content,
        "input": "",
        **({"system": system} if system else {}),
        **({"history": history} if history else {}),
    }


def _alpaca_pair(pair: PreferencePair) -> list[Row]:
    sides = {"chosen": _text(pair.chosen, "chosen"), "rejected": _text(pair.rejected, "rejected")}
    return [{"id": pair.id, **_alpaca_prompt(pair.prompt), **sides}]


def _openai_pair(pair: PreferencePair) -> list[Row]:
    sides = {"preferred_output": _messages(pair.chosen), "non_preferred_output": _messages(pair.rejected)}
    return [{"input": {"messages": _messages(pair.prompt)}, **sides}]


def _pair_cells(pair: PreferencePair) -> list[Row]:
    row = {**_explicit(pair)[0], "kind": pair.kind, "p_chosen": repr(pair.p_chosen)}
    return [{key: row[key] for key in ("id", "prompt", "chosen", "rejected", "kind", "p_chosen")}]


def _by_columns(form: str, columns: PairColumns) -> Callable[[list[Row]], PreferencePair]:
    return lambda rows: parse_pair(form, rows[0], columns, "the row", UNKNOWN).pair


def _by_form(form: Form) -> Callable[[list[Row]], Any]:
    def read(rows: list[Row]) -> Record:
        made = form.parse(rows[0], "the row", UNKNOWN)[0]
        return made.pair if isinstance(made, PairRow) else made

    return read


def _read_unpaired(rows: list[Row]) -> PreferencePair:
    parsed = [unpaired_row(row, "the row", number, UNKNOWN) for number, row in enumerate(rows, start=1)]
    return next(join_unpaired(iter(parsed))).pairs[0][1].pair


def _answer(demonstration: Demonstration) -> tuple[Messages, Message]:
    return demonstration.messages[:-1], demonstration.messages[-1]


def _demonstration_texts(demonstration: Demonstration) -> list[Row]:
    prompt, answer = _answer(demonstration)
    return [{"id": demonstration.id, "prompt": _prompt_text(prompt), "completion": answer.content}]


def _demonstration_messages(demonstration: Demonstration) -> list[Row]:
    prompt, answer = _answer(demonstration)
    return [{"id": demonstration.id, "prompt": _messages(prompt), "completion": _messages((answer,))}]


def _demonstration_alpaca(demonstration: Demonstration) -> list[Row]:
    prompt, answer = _answer(demonstration)
    return [{"id": demonstration.id, **_alpaca_prompt(prompt), "output": answer.content}]


def _read_demonstration(rows: list[Row]) -> Demonstration:
    return demonstration_of(rows[0], "the row", str(rows[0].get("id", UNKNOWN)))


def _read_prompt(rows: list[Row]) -> Prompt:
    return prompt_of(rows[0], "the row", str(rows[0].get("id", UNKNOWN)))


def _prompt_cells(prompt: Prompt) -> list[Row]:
    return [{"id": prompt.id, "prompt": _prompt_text(prompt.messages), "kind": prompt.kind}]


PAIR_TARGETS: Mapping[str, Target[PreferencePair]] = {
    "boresight": Target(lambda pair: [as_record(pair)], lambda rows: from_record(PreferencePair, rows[0], "the row")),
    "trl_explicit": Target(_explicit, _by_columns("trl_explicit", COLUMNS)),
    "trl_conversational": Target(_conversational, _by_columns("trl_explicit", COLUMNS)),
    "trl_implicit": Target(_implicit, _by_columns("trl_implicit", WITHOUT_PROMPT)),
    "trl_unpaired": Target(_unpaired, _read_unpaired),
    "hh_rlhf": Target(_hh, _by_columns("hh_rlhf", WITHOUT_PROMPT)),
    "openai": Target(_openai_pair, _by_form(OPENAI[0])),
    "sharegpt": Target(_sharegpt_pair, _by_form(SHAREGPT[0])),
    "alpaca": Target(_alpaca_pair, _by_form(ALPACA[0])),
    "csv": Target(_pair_cells, _by_columns("trl_explicit", COLUMNS), tabular=True),
}
DEMONSTRATION_TARGETS: Mapping[str, Target[Demonstration]] = {
    "boresight": Target(lambda d: [as_record(d)], lambda rows: from_record(Demonstration, rows[0], "the row")),
    "trl_explicit": Target(_demonstration_texts, _read_demonstration),
    "trl_conversational": Target(_demonstration_messages, _read_demonstration),
    "openai": Target(lambda d: [{"messages": _messages(d.messages)}], _read_demonstration),
    "sharegpt": Target(lambda d: [{"id": d.id, "conversations": to_sharegpt(d.messages)}], _by_form(SHAREGPT[1])),
    "alpaca": Target(_demonstration_alpaca, _by_form(ALPACA[1])),
    "csv": Target(_demonstration_texts, _read_demonstration, tabular=True),
}
PROMPT_TARGETS: Mapping[str, Target[Prompt]] = {
    "boresight": Target(lambda prompt: [as_record(prompt)], lambda rows: from_record(Prompt, rows[0], "the row")),
    "trl_conversational": Target(
        lambda prompt: [{"id": prompt.id, "prompt": _messages(prompt.messages)}], _read_prompt
    ),
    "openai": Target(lambda prompt: [{"messages": _messages(prompt.messages)}], _read_prompt),
    "csv": Target(_prompt_cells, _read_prompt, tabular=True),
}
TARGET_NAMES = tuple(dict.fromkeys((*PAIR_TARGETS, *DEMONSTRATION_TARGETS, *PROMPT_TARGETS)))
