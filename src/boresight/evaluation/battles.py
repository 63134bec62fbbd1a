"""Verdicts between two named models: MT-bench's pairwise judgments, Arena-Hard's games, arena battles.

Each form gives battles with the verdict for the first model. Two games of one question, with the answers exchanged,
are two battles; in MT-bench's files the winner is named, in Arena-Hard's it is the place, which the second game turns.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from boresight.errors import DataError

Row = dict[str, Any]
ARENA_HARD_BASELINE = "baseline"  # its judgments do not name whom the model was held against


class Battle(NamedTuple):
    """`value`: 1 the first model won, 0 the second, 0.5 a tie, None where the verdict cannot be read."""

    prompt: str
    kind: str
    first: str
    second: str
    value: float | None
    first_text: str | None = None
    second_text: str | None = None

    @property
    def sides(self) -> tuple[str, str]:
        return self.first, self.second


def _mt_bench(row: Row, where: str) -> list[Battle]:
    """FastChat's pairwise judgments: g1_winner and g2_winner name model_1, model_2, tie or error."""
    votes: dict[str, float | None] = {"model_1": 1.0, "model_2": 0.0, "tie": 0.5, "error": None}
    battles = []
    for game in ("g1_winner", "g2_winner"):
        if str(row[game]) not in votes:
            raise DataError(
                f'{where}: "{game}" is {row[game]!r}; expected model_1, model_2, tie or error.'
                " Correct the row, or leave it out."
            )
        kind = f"turn {row['turn']}" if "turn" in row else ""
        names = str(row["model_1"]), str(row["model_2"])
        battles.append(Battle(str(row["question_id"]), kind, *names, votes[str(row[game])]))
    return battles


def _arena_hard(row: Row, where: str) -> list[Battle]:
    """Two games with scores from A>>B to B>>A; the baseline is A in the first game and B in the second."""
    votes = {"A>>B": 1.0, "A>B": 1.0, "A=B": 0.5, "B>A": 0.0, "B>>A": 0.0}
    games = row["games"]
    if not isinstance(games, list) or len(games) != 2 or not all(isinstance(game, dict) for game in games):
        raise DataError(f'{where}: "games" must be a list of two games, one for each order. Correct the row.')
    prompt = str(row.get("question_id", row.get("uid", where)))
    baseline = str(row.get("baseline", ARENA_HARD_BASELINE))
    battles = []
    for number, game in enumerate(games):
        for_a = votes.get(str(game.get("score")))
        value = for_a if for_a is None or number == 1 else 1 - for_a
        battles.append(Battle(prompt, str(row.get("category", "")), str(row["model"]), baseline, value))
    return battles


def _arena(row: Row, where: str) -> list[Battle]:
    """One battle: winner is model_a, model_b, tie or tie (bothbad)."""
    votes = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "tie (bothbad)": 0.5}
    if str(row["winner"]) not in votes:
        raise DataError(
            f'{where}: "winner" is {row["winner"]!r}; expected model_a, model_b, tie or tie (bothbad).'
            " Correct the row, or leave it out."
        )
    kind = f"turn {row['turn']}" if "turn" in row else ""
    texts = [_last_answer(row.get(f"conversation_{side}")) for side in "ab"]
    prompt = str(row.get("question_id", where))
    return [Battle(prompt, kind, str(row["model_a"]), str(row["model_b"]), votes[str(row["winner"])], *texts)]


def _last_answer(conversation: Any) -> str | None:
    last = conversation[-1] if isinstance(conversation, list) and conversation else None
    text = last.get("content") if isinstance(last, dict) else None
    return text if isinstance(text, str) else None


BATTLES: tuple[tuple[frozenset[str], Callable[[Row, str], list[Battle]]], ...] = (
    (frozenset({"question_id", "model_1", "model_2", "g1_winner", "g2_winner"}), _mt_bench),
    (frozenset({"model", "games"}), _arena_hard),
    (frozenset({"model_a", "model_b", "winner"}), _arena),
)
"""Columns that tell a form, and how a row of it is read."""
