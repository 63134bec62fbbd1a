"""Scores of chosen and rejected responses from a file, for reward models of any make."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from boresight.data.readers import read_pairs
from boresight.data.tables import iterate_rows
from boresight.errors import DataError
from boresight.records import Message, PreferencePair

CHOSEN = ("chosen_score", "score_chosen", "chosen_reward", "reward_chosen", "scores_chosen")
REJECTED = tuple(name.replace("chosen", "rejected") for name in CHOSEN)


class PairScores(NamedTuple):
    chosen: list[float]
    rejected: list[float]


def read_scores(path: Path, pairs: Sequence[PreferencePair]) -> PairScores:
    """Two scores of each pair, by id where the file has ids, else in the order of the pairs.

    Raises DataError for a file without score columns, a score that is no finite number, and rows that do not match
    the pairs one to one.
    """
    rows = list(iterate_rows(path))
    if not rows:
        raise DataError(f"{path}: the file holds no rows; expected scores of {len(pairs)} pairs. Score these pairs.")
    columns = [next((name for name in names if name in rows[0][1]), None) for names in (CHOSEN, REJECTED)]
    if None in columns:
        raise DataError(
            f"{path}: columns {', '.join(rows[0][1])}; expected a score of each side: {CHOSEN[0]} and {REJECTED[0]} "
            f"(or {', '.join(CHOSEN[1:])} and likewise). Rename the columns."
        )
    by_id: dict[str, tuple[float, float]] = {}
    for place, (line, row) in enumerate(rows):
        where = f"{path}:{line}"
        key = str(row["id"]) if "id" in rows[0][1] else str(place)
        if key in by_id:
            raise DataError(
                f"{where}: the id {key!r} has scores already; ids must differ. Give each pair's scores once."
            )
        by_id[key] = (_score(row, columns[0], where), _score(row, columns[1], where))
    keys = [pair.id for pair in pairs] if "id" in rows[0][1] else [str(place) for place in range(len(pairs))]
    missing = [key for key in keys if key not in by_id]
    if missing or len(by_id) != len(keys):
        first = f" (first without: {missing[0]!r})" if missing and "id" in rows[0][1] else ""
        raise DataError(
            f"{path}: {len(by_id)} rows of scores for {len(keys)} pairs, {len(missing)} pairs without{first}; expected "
            "one row for each pair, with its id or in its place. Score these very pairs."
        )
    return PairScores([by_id[key][0] for key in keys], [by_id[key][1] for key in keys])


class ScoredPairs(NamedTuple):
    """Pairs that came with their scores."""

    pairs: list[PreferencePair]
    chosen: list[float]
    rejected: list[float]


def read_scored_pairs(path: Path) -> ScoredPairs:
    """Pairs and their scores from one file: JudgeBench's outputs of a reward model, or pairs with score columns.

    A `subset` (RewardBench) or `source` (JudgeBench) is the pair's kind. Raises DataError for a file that holds either
    alone.
    """
    first = next(iter(iterate_rows(path)), (0, {}))[1]
    if first.keys() >= {"question", "response_A", "response_B", "label", "judgments"}:
        return _judge_bench(path)
    if not any(name in first for name in CHOSEN):
        raise DataError(
            f"{path}: columns {', '.join(first) or 'none'}; without a file of pairs, expected pairs and scores "
            f"({CHOSEN[0]}, {REJECTED[0]}) in this one, or JudgeBench's outputs of a reward model. Give the pairs too."
        )
    columns = {"kind": "subset"} if "subset" in first and "kind" not in first else None
    held = read_pairs(path, columns=columns, on_identical="keep", on_empty="keep", on_context_differs="keep")
    return ScoredPairs(held.pairs, *read_scores(path, held.pairs))


def _judge_bench(path: Path) -> ScoredPairs:
    """The scores are those of the first judgment, which has the responses as they are listed."""
    pairs, chosen, rejected = [], [], []
    for line, row in iterate_rows(path):
        scores = _first_scores(row["judgments"])
        if row["label"] not in ("A>B", "B>A") or not isinstance(scores, list) or len(scores) != 2:
            raise DataError(
                f'{path}:{line}: expected "label" A>B or B>A and two "scores" in the first judgment, as a reward model '
                "gives them. Verdicts without scores are for `boresight eval agreement`."
            )
        sides = [(str(row["response_A"]), scores[0]), (str(row["response_B"]), scores[1])]
        better, worse = sides if row["label"] == "A>B" else sides[::-1]
        where = f"{path}:{line}"
        pairs.append(
            PreferencePair(
                id=str(row.get("pair_id", line)),
                prompt=(Message("user", str(row["question"])),),
                chosen=(Message("assistant", better[0]),),
                rejected=(Message("assistant", worse[0]),),
                kind=str(row.get("source", "")),
            )
        )
        chosen.append(_score({"scores": better[1]}, "scores", where))
        rejected.append(_score({"scores": worse[1]}, "scores", where))
    return ScoredPairs(pairs, chosen, rejected)


def _first_scores(judgments: Any) -> Any:
    """`scores` of the first judgment; None where there are none."""
    first = judgments[0] if isinstance(judgments, list) and judgments else None
    held = first.get("judgment") if isinstance(first, dict) else None
    return held.get("scores") if isinstance(held, dict) else None


def _score(row: dict[str, Any], column: str | None, where: str) -> float:
    return finite_number(row.get(str(column)), str(column), where, "Score this pair again.")


def finite_number(value: Any, name: str, where: str, cure: str) -> float:
    """A cell as a number. Raises DataError, with what to do about it, for what is none, is not finite or too large."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise DataError(f'{where}: "{name}" is {value!r}; expected a finite number. {cure}')
    return number
