"""Instruction rows: Alpaca's (`instruction`, `input`, `output`), the same with two answers, self-instruct's with
several instances, and questions with answers."""

from boresight.data.forms import Form, Row, items_of, list_at, mapping_of, text_at, text_or_none
from boresight.data.json_text import kind_of
from boresight.data.pair_rows import PairRow, id_cell
from boresight.data.record_rows import closed_demonstration
from boresight.errors import DataError
from boresight.records import Demonstration, Message, Messages, PreferencePair

BETWEEN = "\n\n"  # what stands between an instruction and its input


def instruction_prompt(row: Row, where: str, key: str = "instruction") -> Messages:
    """System message, earlier turns, and the instruction with its input after a blank line. Raises DataError for a turn
    of the history that is not two texts."""
    system, given = text_or_none(row, "system", where), text_or_none(row, "input", where)
    messages = [Message("system", system)] if system else []
    for number, turn in enumerate(items_of(row.get("history"), f'{where}: "history"'), start=1):
        if not isinstance(turn, list) or len(turn) != 2 or not all(isinstance(text, str) for text in turn):
            raise DataError(
                f'{where}: "history", turn {number}: found {kind_of(turn)}, expected a list of two texts: what was '
                "asked and what was answered."
                " Correct the row, or leave it out."
            )
        messages += [Message("user", turn[0]), Message("assistant", turn[1])]
    instruction = text_at(row, key, where)
    return (*messages, Message("user", instruction + (BETWEEN + given if given else "")))


def _demonstration(row: Row, where: str, default_id: str) -> list[Demonstration]:
    messages = (*instruction_prompt(row, where), Message("assistant", text_at(row, "output", where)))
    return [closed_demonstration(id_cell(row, "id", where, default_id), messages, where)]


def _pair(row: Row, where: str, default_id: str) -> list[PairRow]:
    chosen, rejected = ((Message("assistant", text_at(row, key, where)),) for key in ("chosen", "rejected"))
    record_id = id_cell(row, "id", where, default_id)
    prompt = instruction_prompt(row, where)
    return [PairRow(PreferencePair(id=record_id, prompt=prompt, chosen=chosen, rejected=rejected))]


def _instances(row: Row, where: str, default_id: str) -> list[Demonstration]:
    record_id = id_cell(row, "id", where, default_id)
    demonstrations = []
    for number, item in enumerate(list_at(row, "instances", where), start=1):
        place = f'{where}: "instances", item {number}'
        instance = {"instruction": row.get("instruction"), **mapping_of(item, place)}
        messages = (*instruction_prompt(instance, place), Message("assistant", text_at(instance, "output", place)))
        demonstrations.append(closed_demonstration(f"{record_id}#{number}", messages, place))
    return demonstrations


def _answered(row: Row, where: str, default_id: str) -> list[Demonstration]:
    question, answer = text_at(row, "question", where), text_at(row, "answer", where)
    messages = (Message("user", question), Message("assistant", answer))
    return [closed_demonstration(id_cell(row, "id", where, default_id), messages, where)]


_KEYS = frozenset({"id", "system", "history", "instruction", "input"})
FORMS = (
    Form(
        "alpaca_pairs",
        "pairs",
        _KEYS | {"chosen", "rejected"},
        lambda row: "prompt" not in row and {"instruction", "chosen", "rejected"} <= row.keys(),
        _pair,
    ),
    Form(
        "alpaca", "demonstrations", _KEYS | {"output"}, lambda row: {"instruction", "output"} <= row.keys(),
        _demonstration,
    ),
    Form(
        "self_instruct", "demonstrations", frozenset({"id", "instruction", "instances"}),
        lambda row: {"instruction", "instances"} <= row.keys(), _instances,
    ),
    Form(
        "question_answer", "demonstrations", frozenset({"id", "question", "answer"}),
        lambda row: {"question", "answer"} <= row.keys(), _answered,
    ),
)  # fmt: skip
