"""Win rate of candidates against a baseline from verdicts in both orders, with what it takes to believe it.

Every prompt is judged twice, with the candidate shown first and with the baseline shown first: a judge that prefers a
position then helps neither. The two verdicts are one cluster: all intervals are over prompts.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from boresight.errors import DataError
from boresight.stats.intervals import Interval, bootstrap_mean, sign_test, wilson, wilson_t

ORDERS = ("candidate_first", "baseline_first")
_BOOTSTRAP_PROMPTS = 40  # below, a percentile interval covers too little (simulated: 64 to 92 % at 5 to 10 prompts)


class JudgedPrompt(NamedTuple):
    """The candidate's two verdicts on one prompt: 1 it won, 0 it lost, 0.5 a tie."""

    prompt_id: str
    kind: str
    candidate_first: float
    baseline_first: float


def compare_all(rows: Iterable[Mapping[str, Any]], *, seed: int, replicates: int = 2000) -> dict[str, dict[str, Any]]:
    """`compare` for each candidate among the rows of a comparisons.jsonl, in the order of their first appearance."""
    by_candidate: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_candidate[row["candidate"]].append(row)
    return {name: compare(own, seed=seed, replicates=replicates) for name, own in by_candidate.items()}


def compare(rows: Iterable[Mapping[str, Any]], *, seed: int, replicates: int = 2000) -> dict[str, Any]:
    """One candidate against the baseline, from its rows {prompt_id, kind, order, verdict}, one an order.

    win_rate: mean verdict over prompts and orders, ties as halves. ci95: percentile bootstrap over prompts; with fewer
    than 40 prompts, or where all came out alike, Wilson's with the effective sample size and Student's t, as a
    bootstrap would claim too much there. wilson95: Wilson's on prompts, each a coin: the wide side.
    wins, losses, ties: prompts by verdict, a tie where the two orders disagree (Zheng et al. 2023, arXiv:2306.05685).
    standard_error: of win_rate, over prompts. sign_test_p: of wins against losses. verdict_flips: prompts whose verdict
    changed with the order. Rates are fractions. Raises DataError for rows that do not make two verdicts a prompt.
    """
    prompts = judged_prompts(rows)
    scores = np.array([(p.candidate_first + p.baseline_first) / 2 for p in prompts])  # (prompts,)
    agreed = [p.candidate_first for p in prompts if p.candidate_first == p.baseline_first]
    wins, losses = agreed.count(1.0), agreed.count(0.0)
    on_prompts = wilson(float(scores.sum()), len(scores))
    if len(scores) >= _BOOTSTRAP_PROMPTS and np.ptp(scores) > 0:
        interval = bootstrap_mean(scores, range(len(scores)), seed=seed, replicates=replicates)
    else:
        interval = wilson_t(scores, range(len(scores)))
    return {
        **_rate(interval),
        "wilson95": [on_prompts.low, on_prompts.high],
        "wins": wins,
        "losses": losses,
        "ties": len(prompts) - wins - losses,
        "standard_error": float(scores.std(ddof=1)) / math.sqrt(len(scores)),
        "sign_test_p": sign_test(wins, losses),
        "by_kind": _by_kind(prompts),
        "verdict_flips": len(prompts) - len(agreed),
    }


def judged_prompts(rows: Iterable[Mapping[str, Any]]) -> list[JudgedPrompt]:
    """Pair up the two orders of each prompt, in the order of their first appearance.

    Raises DataError for an unknown order or verdict, an order that is missing or there twice, or fewer than 2 prompts.
    """
    verdicts: dict[str, dict[str, float]] = defaultdict(dict)
    kinds: dict[str, str] = {}
    for row in rows:
        where, order, verdict = f"comparisons: prompt {row['prompt_id']!r}", row["order"], row["verdict"]
        if order not in ORDERS or verdict not in (0, 0.5, 1):
            raise DataError(
                f"{where}: order {order!r} with verdict {verdict!r}; expected order 'candidate_first' or "
                "'baseline_first' and verdict 1 (the candidate won), 0 (it lost) or 0.5 (a tie). Correct the row."
            )
        if order in verdicts[row["prompt_id"]]:
            raise DataError(f"{where}: two rows of order {order!r}; expected one for each order. Remove one of them.")
        verdicts[row["prompt_id"]][order] = float(verdict)
        kinds[row["prompt_id"]] = row["kind"]
    lonely = [prompt for prompt, seen in verdicts.items() if len(seen) < len(ORDERS)]
    if lonely:
        raise DataError(
            f"comparisons: {len(lonely)} of {len(verdicts)} prompts were judged in one order only (first: "
            f"{lonely[0]!r}); expected both. Judge them in the other order too."
        )
    if len(verdicts) < 2:
        raise DataError(f"comparisons: {len(verdicts)} prompts; expected at least 2. Give the evaluation more prompts.")
    return [JudgedPrompt(prompt, kinds[prompt], *(seen[o] for o in ORDERS)) for prompt, seen in verdicts.items()]


def _by_kind(prompts: list[JudgedPrompt]) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[float]] = defaultdict(list)
    for prompt in prompts:
        if prompt.kind:
            groups[prompt.kind].append((prompt.candidate_first + prompt.baseline_first) / 2)
    return {kind: _rate(wilson_t(scores, range(len(scores)))) for kind, scores in sorted(groups.items())}


def _rate(interval: Interval) -> dict[str, Any]:
    return {"n": interval.n, "win_rate": interval.value, "ci95": [interval.low, interval.high]}
