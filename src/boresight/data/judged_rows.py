"""Two answers and what judges said of them: AlpacaEval's annotations, LLMBar's and PandaLM's sets, arena battles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from boresight.data.alpaca import instruction_prompt
from boresight.data.forms import Form, Row, list_at, text_at
from boresight.data.jsonl import messages_from
from boresight.data.pair_rows import PairRow, id_cell, split_conversations
from boresight.data.votes import voted_pair
from boresight.errors import DataError
from boresight.records import PreferencePair


@dataclass(frozen=True, slots=True)
class _Layout:
    """Names of the columns, and how a verdict reads: 1 the first answer is better, 0 the second, 0.5 a tie."""

    prompt: str
    first: str
    second: str
    verdicts: tuple[str, ...]
    vote: Callable[[Any], float | None]
    judges: str | None = None
    source: str = "imported"


def _alpaca_eval_vote(value: Any) -> float | None:
    """`preference` is 1 plus the probability that the second answer is better; 0 stands for a tie."""
    try:
        value = float(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (value == 0 or 1 <= value <= 2):
        return None
    return 0.5 if value == 0 else 2.0 - value


def _named_vote(value: Any) -> float | None:
    """The better answer's number; 0 for a tie."""
    return {"0": 0.5, "1": 1.0, "2": 0.0}.get(str(value))


def _battle_vote(value: Any) -> float | None:
    votes = {"model_a": 1.0, "model_b": 0.0, "a": 1.0, "b": 0.0}
    return votes.get(str(value), 0.5 if str(value).startswith(("tie", "both")) else None)


ALPACA_EVAL = _Layout(
    "instruction", "output_1", "output_2", ("preference",), _alpaca_eval_vote, judges="annotator", source="ai"
)
LLMBAR = _Layout("input", "output_1", "output_2", ("label",), _named_vote)
PANDALM = _Layout(
    "instruction", "response1", "response2", ("annotator1", "annotator2", "annotator3"), _named_vote, source="human"
)


def _judged(layout: _Layout, row: Row, where: str, default_id: str) -> list[PairRow]:
    votes, judges = [], []
    for column in layout.verdicts:
        value = row.get(column)
        if value is None:
            continue
        vote = layout.vote(value)
        if vote is None:
            raise DataError(f'{where}: "{column}" is {value!r}, which is no verdict on two answers. Correct the row.')
        votes.append(vote)
        judges.append(str(row.get(layout.judges)) if layout.judges and row.get(layout.judges) else column)
    if not votes:
        return []
    # "input" is the whole question of one layout, and what an instruction works on in the others.
    asked = {"instruction": text_at(row, "input", where)} if layout.prompt == "input" else row
    prompt = instruction_prompt(asked, where)
    first, second = text_at(row, layout.first, where), text_at(row, layout.second, where)
    made = voted_pair(id_cell(row, "id", where, default_id), prompt, first, second, votes, source=layout.source)
    named = layout.judges is not None or len(layout.verdicts) > 1
    return [PairRow(replace(made.pair, annotators=tuple(judges) if named else ()))]


def _battle(row: Row, where: str, default_id: str) -> list[PairRow]:
    """Two whole conversations with a winner (Chatbot Arena)."""
    vote = _battle_vote(row.get("winner"))
    if vote is None:
        raise DataError(
            f'{where}: "winner" is {row.get("winner")!r}; expected model_a, model_b, tie or tie (bothbad).'
            " Correct the row, or leave it out."
        )
    sides = [
        messages_from(list_at(row, f"conversation_{name}", where), f'{where}: "conversation_{name}"') for name in "ab"
    ]
    if any(not side or side[-1].role != "assistant" for side in sides):
        raise DataError(f"{where}: a conversation does not end with the assistant's answer. Correct the row.")
    prompt, chosen, rejected, differs = split_conversations(*(sides if vote >= 0.5 else sides[::-1]))
    judge = row.get("judge")
    pair = PreferencePair(
        id=id_cell(row, "question_id", where, default_id),
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        p_chosen=max(vote, 1.0 - vote),
        source="human",
        annotators=(str(judge),) if judge else (),
    )
    return [PairRow(pair, differs)]


def _form(name: str, layout: _Layout) -> Form:
    needed = {layout.prompt, layout.first, layout.second, *layout.verdicts}
    keys = frozenset({"id", "input", *needed, *([layout.judges] if layout.judges else [])})

    def parse(row: Row, where: str, default_id: str) -> Sequence[PairRow]:
        return _judged(layout, row, where, default_id)

    return Form(name, "pairs", keys, lambda row: needed <= row.keys(), parse)


_BATTLE = frozenset({"conversation_a", "conversation_b", "winner"})
FORMS = (
    _form("alpaca_eval", ALPACA_EVAL),
    _form("pandalm", PANDALM),
    _form("llmbar", LLMBAR),
    Form("arena_battles", "pairs", _BATTLE | {"question_id", "judge"}, lambda row: row.keys() >= _BATTLE, _battle),
)
