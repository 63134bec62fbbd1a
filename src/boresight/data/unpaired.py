"""TRL's unpaired rows: `prompt`, `completion` and a `label` that says whether the completion is a good one.

A pair is made of a good and a bad completion of the same prompt whose rows stand side by side: the n-th good one goes
with the n-th bad one. Nothing else is paired; rows without a counterpart are counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from boresight.data.forms import Form, Row, mapping_of
from boresight.data.json_text import kind_of
from boresight.data.jsonl import messages_from
from boresight.data.pair_rows import SYSTEM_NAMES, PairRow, id_cell, prompt_messages, system_column, with_system
from boresight.errors import DataError
from boresight.records import Message, Messages, PreferencePair


@dataclass(frozen=True, slots=True)
class Unpaired:
    """A response and whether it was called good."""

    line: int
    record_id: str
    prompt: Messages
    completion: Messages
    label: bool


@dataclass
class Joined:
    """What side-by-side rows gave: pairs with the line of their good row, and lines without a counterpart."""

    pairs: list[tuple[int, PairRow]] = field(default_factory=list)
    alone: list[int] = field(default_factory=list)


def unpaired_row(row: Row, where: str, line: int, default_id: str) -> Unpaired:
    """A row as a rated response. Raises DataError where the label is neither true nor false."""
    label = _label(row.get("label"), where)
    completion = row.get("completion")
    if isinstance(completion, str):
        messages: Messages = (Message("assistant", completion),)
    else:
        messages = messages_from(completion, f'{where}: "completion"')
        if not messages or messages[-1].role != "assistant":
            raise DataError(
                f'{where}: "completion": expected an assistant message at its end. Correct the row, or leave it out.'
            )
    asked = prompt_messages(row.get("prompt"), f'{where}: "prompt"')
    prompt = with_system(row, system_column(row), asked, where)
    return Unpaired(line, id_cell(row, "id", where, default_id), prompt, messages, label)


def join_unpaired(rows: Iterator[Unpaired]) -> Iterator[Joined]:
    """The pairs of each run of rows with one prompt."""
    for _, run in groupby(rows, key=lambda row: row.prompt):
        members = list(run)
        good, bad = ([row for row in members if row.label is label] for label in (True, False))
        joined = Joined(alone=[row.line for row in good[len(bad) :] + bad[len(good) :]])
        for chosen, rejected in zip(good, bad, strict=False):
            pair = PreferencePair(
                id=chosen.record_id, prompt=chosen.prompt, chosen=chosen.completion, rejected=rejected.completion
            )
            joined.pairs.append((chosen.line, PairRow(pair)))
        yield joined


def _label(value: object, where: str) -> bool:
    """True or false, also as the text of a CSV cell."""
    known = {"true": True, "1": True, "false": False, "0": False}
    label = known.get(str(value).casefold()) if isinstance(value, (bool, int, str)) else None
    if label is None:
        shown = repr(value) if isinstance(value, (str, int)) else kind_of(value)
        raise DataError(f'{where}: "label" is {shown}, expected true or false. Correct the row, or leave it out.')
    return label


def _not_alone(row: Row, where: str, default_id: str) -> list[PairRow]:
    """A single unpaired row is no pair; `join_unpaired` makes them of several."""
    mapping_of(row, where)
    return []


KEYS = frozenset({"id", "prompt", "completion", "label", *SYSTEM_NAMES})
FORMS = (
    Form(
        "trl_unpaired",
        "pairs",
        KEYS,
        lambda row: (
            {"prompt", "completion", "label"} <= row.keys() and str(row["label"]).casefold() in ("true", "false")
        ),
        _not_alone,
    ),
)
