"""OpenAI's preference rows: `input.messages`, `preferred_output`, `non_preferred_output`. Its fine-tuning rows, with
`messages`, are read as conversations."""

from typing import Any

from boresight.data.forms import Form, Row, mapping_of
from boresight.data.jsonl import messages_from
from boresight.data.pair_rows import PairRow, id_cell
from boresight.errors import DataError
from boresight.records import PreferencePair


def _pair(row: Row, where: str, default_id: str) -> list[PairRow]:
    given = mapping_of(row.get("input"), f'{where}: "input"')
    if given.get("tools"):
        raise DataError(
            f'{where}: "input.tools" describes functions, which a record cannot carry. Leave the row out, or write '
            "what matters of them into a system message."
        )
    sides: list[Any] = []
    for key in ("preferred_output", "non_preferred_output"):
        messages = messages_from(row.get(key), f'{where}: "{key}"')
        if not messages or messages[-1].role != "assistant":
            raise DataError(
                f'{where}: "{key}": expected an assistant message at its end. Correct the row, or leave it out.'
            )
        sides.append(messages)
    prompt = messages_from(given.get("messages"), f'{where}: "input.messages"')
    record_id = id_cell(row, "id", where, default_id)
    return [PairRow(PreferencePair(id=record_id, prompt=prompt, chosen=sides[0], rejected=sides[1]))]


FORMS = (
    Form(
        "openai_preference",
        "pairs",
        frozenset({"id", "input", "preferred_output", "non_preferred_output"}),
        lambda row: {"input", "preferred_output", "non_preferred_output"} <= row.keys(),
        _pair,
    ),
)
