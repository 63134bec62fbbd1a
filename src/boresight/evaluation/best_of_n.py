"""The best of n responses by a reward model's score, and what it is worth by a measure that the model does not know.

With more responses to choose from the score rises by itself. Where what is wanted rises with it, the reward model may
be optimised against; where it peaks and falls, training further than that point buys score alone (Gao et al. 2023,
arXiv:2210.10760). It costs no training: the best of n lies log n - (n-1)/n nats from the model that was sampled.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from boresight.data.tables import iterate_rows
from boresight.errors import DataError
from boresight.evaluation.score_files import finite_number
from boresight.stats.intervals import bootstrap_mean

Array = NDArray[np.float64]
CURE = "Correct the row."


class Sampled(NamedTuple):
    """A response to a prompt: its text where there is one, the score if known, and what it is really worth."""

    prompt: str
    response: str | None
    score: float | None
    gold: float


def read_sampled(path: Path) -> list[Sampled]:
    """Rows of prompt (or prompt_id), gold, and score, response or both; several rows a prompt.

    Raises DataError for missing or unreadable cells.
    """
    sampled = []
    for line, row in iterate_rows(path):
        where = f"{path}:{line}"
        prompt = row.get("prompt", row.get("prompt_id"))
        if not isinstance(prompt, str | int) or "gold" not in row or not ("score" in row or "response" in row):
            raise DataError(
                f"{where}: columns {', '.join(row)}; expected prompt (or prompt_id), gold, and the score or "
                "the response. Name them so."
            )
        score = finite_number(row["score"], "score", where, CURE) if row.get("score") is not None else None
        response = row["response"] if isinstance(row.get("response"), str) else None
        sampled.append(Sampled(str(prompt), response, score, finite_number(row["gold"], "gold", where, CURE)))
    if not sampled:
        raise DataError(
            f"{path}: the file holds no rows; expected several responses to each prompt. Give a file with rows."
        )
    return sampled


def best_of_n(sampled: Sequence[Sampled], *, seed: int = 0) -> dict[str, Any]:
    """{prompts, responses, curve: [{n, kl, score, gold, ci95}], peak, falls}; n doubles up to the fewest responses.

    Score and gold are exact means over all ways to draw n of a prompt's responses without return (the unbiased
    estimator of Nakano et al. 2021, arXiv:2112.09332, appendix I), then over prompts; ci95 is gold's, bootstrapped over
    prompts. peak: the n of the highest gold; falls: gold at the largest n is below that by more than chance, paired.
    Raises DataError for a response without a score, and for a prompt with one response only.
    """
    groups: dict[str, list[Sampled]] = defaultdict(list)
    for one in sampled:
        if one.score is None:
            raise DataError(
                f"best of n: a response to {one.prompt[:60]!r} has no score. Score it, or give a model folder."
            )
        groups[one.prompt].append(one)
    fewest = min(len(group) for group in groups.values())
    if fewest < 2:
        lonely = next(prompt for prompt, group in groups.items() if len(group) < 2)
        raise DataError(
            f"best of n: prompt {lonely[:60]!r} has one response; expected at least 2 for each. Sample more."
        )
    numbers = sorted({*(2**k for k in range(int(math.log2(fewest)) + 1)), fewest})
    values = {n: np.array([_expected(group, n) for group in groups.values()]) for n in numbers}  # (prompts, 2)
    curve = []
    for n in numbers:
        interval = bootstrap_mean(values[n][:, 1], range(len(groups)), seed=seed)
        curve.append(
            {
                "n": n,
                "kl": math.log(n) - (n - 1) / n,
                "score": float(values[n][:, 0].mean()),
                "gold": interval.value,
                "ci95": [interval.low, interval.high],
            }
        )
    peak = max(curve, key=lambda point: float(point["gold"]))["n"]
    fall = bootstrap_mean(values[numbers[-1]][:, 1] - values[int(peak)][:, 1], range(len(groups)), seed=seed)
    return {
        "prompts": len(groups),
        "responses": len(sampled),
        "curve": curve,
        "peak": peak,
        "falls": bool(fall.high < 0),
    }


def _expected(group: Sequence[Sampled], n: int) -> tuple[float, float]:
    """Mean score and gold of the best by score among n of these; equal scores share their chances.

    Sorted upwards, the i-th of N is the best in C(i-1, n-1) of the C(N, n) draws.
    """
    scores = np.array([one.score for one in group], dtype=np.float64)
    gold = np.array([one.gold for one in group], dtype=np.float64)
    order = np.argsort(scores, kind="stable")
    total = math.comb(len(group), n)
    weights = np.array([math.comb(i, n - 1) / total for i in range(len(group))])
    places = np.unique(scores[order], return_inverse=True)[1]
    shared = np.bincount(places, weights) / np.bincount(places)
    chances = shared[places]
    return float(chances @ scores[order]), float(chances @ gold[order])
