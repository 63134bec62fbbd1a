"""Several answers to one prompt, scored, ranked or compared by twos: UltraFeedback, QA feedback, and plain rankings.

Every two answers make a pair; all of a row travel under its ranking id.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from boresight.data.alpaca import instruction_prompt
from boresight.data.forms import Form, Row, list_at, mapping_of, text_at
from boresight.data.json_text import kind_of
from boresight.data.pair_rows import PairRow, id_cell, prompt_messages
from boresight.data.votes import pairs_of_ranking, ranked_pairs
from boresight.errors import DataError
from boresight.records import Message, Ranking

SCORES = ("overall_score", "fine-grained_score", "score", "rating")
PREDICTIONS = tuple(f"prediction {number}" for number in (1, 2, 3, 4))


def _ultrafeedback(row: Row, where: str, default_id: str) -> list[PairRow]:
    """`completions` of {"response", "overall_score"}; a completion that was not scored makes no pair."""
    responses: list[str] = []
    ranks: list[float | None] = []
    for number, item in enumerate(list_at(row, "completions", where)):
        place = f'{where}: "completions", item {number + 1}'
        completion = mapping_of(item, place)
        responses.append(text_at(completion, "response", place))
        score = next((completion[key] for key in SCORES if completion.get(key) is not None), None)
        ranks.append(None if score is None else -number_of(score, f"{place}: score"))
    ranking = Ranking(
        id=id_cell(row, "id", where, default_id),
        prompt=instruction_prompt({"instruction": row.get("instruction")}, where),
        responses=tuple(responses),
        ranks=tuple(ranks),
    )
    return pairs_of_ranking(ranking, source="ai")


def _ranking(row: Row, where: str, default_id: str) -> list[PairRow]:
    """`responses` with `scores` (the higher the better) or `ranks` (the lower the better)."""
    items = list_at(row, "responses", where)
    responses = [_response(item, f'{where}: "responses", item {number}') for number, item in enumerate(items, start=1)]
    key = "scores" if row.get("scores") is not None else "ranks"
    values = list_at(row, key, where)
    if len(values) != len(responses):
        raise DataError(
            f'{where}: "{key}" has {len(values)} values, "responses" {len(responses)}; expected one for each response.'
            " Correct the row, or leave it out."
        )
    sign = -1.0 if key == "scores" else 1.0
    ranking = Ranking(
        id=id_cell(row, "id", where, default_id),
        prompt=prompt_messages(row.get("prompt"), f'{where}: "prompt"'),
        responses=tuple(responses),
        ranks=tuple(None if value is None else sign * number_of(value, f'{where}: "{key}"') for value in values),
    )
    return pairs_of_ranking(ranking)


def _qa_feedback(row: Row, where: str, default_id: str) -> list[PairRow]:
    """Four answers and six comparisons by twos, in the order 12, 13, 14, 23, 24, 34: 0 a tie, 1 the first, 2 the
    second. They need not agree with one order of the four, so each pair keeps its own verdict."""
    responses = [text_at(row, key, where) for key in PREDICTIONS]
    verdicts = list_at(row, "preference", where)
    places = list(combinations(range(len(responses)), 2))
    if len(verdicts) != len(places) or not all(verdict in (0, 1, 2, None) for verdict in verdicts):
        raise DataError(
            f'{where}: "preference" is {verdicts}; expected {len(places)} values, each 0, 1 or 2.'
            " Correct the row, or leave it out."
        )
    verdict_of = dict(zip(places, verdicts, strict=True))
    vote: dict[Any, Sequence[float]] = {0: [0.5], 1: [1.0], 2: [0.0], None: []}
    prompt = (Message("user", text_at(row, "question", where)),)
    ranking_id = id_cell(row, "id", where, default_id)
    return ranked_pairs(ranking_id, prompt, responses, lambda i, j: vote[verdict_of[i, j]], source="human")


def number_of(value: Any, where: str) -> float:
    """A number, or a text that is one (UltraFeedback has ratings of both kinds); DataError for NaN and all else."""
    try:
        if not isinstance(value, (bool, int, float, str)) or isinstance(value, bool):
            raise ValueError
        number = float(value)
        if number != number:
            raise ValueError
    except OverflowError as error:
        raise DataError(f"{where}: the number is too large. Correct the row, or leave it out.") from error
    except ValueError as error:
        shown = repr(value) if isinstance(value, str) else kind_of(value)
        raise DataError(f"{where}: found {shown}, expected a number. Correct the row, or leave it out.") from error
    return number


def _response(item: Any, where: str) -> str:
    """A response given as text, or as an object with `text`, `response` or `content`."""
    if isinstance(item, str):
        return item
    named = mapping_of(item, where)
    return text_at(named, next((key for key in ("text", "response", "content") if key in named), "text"), where)


def _scored(row: Row) -> bool:
    completions = row.get("completions")
    return (
        "instruction" in row and isinstance(completions, list) and all(isinstance(item, dict) for item in completions)
    )


FORMS = (
    Form("ultrafeedback", "pairs", frozenset({"id", "instruction", "completions"}), _scored, _ultrafeedback),
    Form(
        "qa_feedback", "pairs", frozenset({"id", "question", "preference", *PREDICTIONS}),
        lambda row: {"question", "preference", *PREDICTIONS} <= row.keys(), _qa_feedback,
    ),
    Form(
        "ranking", "pairs", frozenset({"id", "prompt", "responses", "scores", "ranks"}),
        lambda row: {"prompt", "responses"} <= row.keys() and bool({"scores", "ranks"} & row.keys()), _ranking,
    ),
)  # fmt: skip
