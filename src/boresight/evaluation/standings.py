"""Win rates of all candidates in some files, with what it takes to believe them.

For each: intervals over prompts, tests with a correction for how many were made, length control, and canaries: a
candidate that says the same to everyone, or nothing, must lose; a judge that lets it win cannot be trusted.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boresight.errors import DataError
from boresight.evaluation.contamination import How, contaminated
from boresight.evaluation.judged_files import Judged, Unit, read_judged
from boresight.evaluation.length_control import LengthControlled, LengthVerdicts, length_controlled
from boresight.evaluation.published_weights import PublishedWeights
from boresight.evaluation.question_files import Question
from boresight.stats.intervals import Interval, bootstrap_mean, prompts_needed, sign_test, wilson, wilson_t
from boresight.stats.rating_intervals import rate_all
from boresight.stats.ratings import ELO_PER_NAT
from boresight.stats.significance import holm, sign_flip_test

Result = dict[str, Any]

BOOTSTRAP_PROMPTS = 40  # below, a percentile interval covers too little
CONSTANT_SHARE = 0.02  # of distinct answers among all; from 20 answers on
EMPTY_SHARE = 0.05
FOOLED = 0.05  # what a constant answer may win of a sound judge: the low end of the interval lies below


def standings(
    files: Sequence[Path],
    *,
    seed: int = 0,
    baseline: str | None = None,
    margin: float = 10.0,
    weights: PublishedWeights | None = None,
    questions: Mapping[str, Question] | None = None,
    training: Sequence[Path] = (),
) -> Result:
    """{files: [one block a candidate], ratings}; rates in percent. Raises DataError for files that cannot be used.

    `questions` give categories and texts to prompts that the files name by id; prompts that stand in the `training`
    files are counted, and the rate is taken without them too.
    """
    judged = [(file, one) for file in files for one in read_judged(file, baseline=baseline)]
    known = questions or {}
    texts = [{**one.prompts, **{k: known[k].text for k in _keys(one) if k in known}} for _, one in judged]
    tainted = contaminated({key: text for own in texts for key, text in own.items()}, training) if training else {}
    blocks = [
        {
            "file": str(file),
            **_block(one, seed, margin),
            "by_category": _parts(one.units, lambda unit: known[unit.key].category if unit.key in known else ""),
            "contamination": _contamination(one, own, tainted, seed) if training else None,
        }
        for (file, one), own in zip(judged, texts, strict=True)
    ]
    for block, corrected in zip(blocks, holm([block["permutation_p"] for block in blocks]), strict=True):
        block["permutation_p_holm"] = corrected
    for place, controlled in _length_control(judged, weights, seed).items():
        blocks[place] |= controlled
    return {"files": blocks, **_ratings([one for _, one in judged])}


def _block(judged: Judged, seed: int, margin: float) -> Result:
    values = np.array([unit.value for unit in judged.units])
    outcomes = np.array([unit.outcome for unit in judged.units])
    keys = [unit.key for unit in judged.units]
    ties, n = int(np.sum(outcomes == 0.5)), len(values)
    wilson95 = wilson(float(values.sum()), n)
    decided = np.sign(_cluster_sums(outcomes - 0.5, keys))
    texts = judged.responses
    block = {
        "candidate": judged.candidate,
        "baseline": judged.baseline,
        "n": n,
        **_rate(rate_interval(values, keys, seed)),
        "standard_error": 100 * clustered_error(values, keys),
        "wilson95": [100 * wilson95.low, 100 * wilson95.high],
        "wins": int(np.sum(outcomes == 1)),
        "losses": int(np.sum(outcomes == 0)),
        "ties": ties,
        "discrete_win_rate": 100 * float(outcomes.mean()),
        "mean_chars": int(np.mean([len(text) for text in texts])) if texts else None,
        "distinct_responses": len(set(texts)) if texts else None,
        "unreadable": judged.unreadable,
        "sign_test_p": sign_test(int(np.sum(decided > 0)), int(np.sum(decided < 0))),
        "permutation_p": sign_flip_test(values - 0.5, keys, seed=seed),
        "prompts_needed": _needed(margin, ties / n),
        "by_kind": _parts(judged.units, lambda unit: unit.kind),
        **dict.fromkeys(("length_controlled_win_rate", "length_controlled_standard_error", "length_control")),
    }
    return {**block, "warnings": canaries(texts, block["win_rate"] / 100, block["ci95"][0] / 100)}


def rate_interval(values: NDArray[np.float64], keys: Sequence[str], seed: int) -> Interval:
    """Bootstrap over prompts; Wilson's with Student's t for few prompts, or where all came out alike."""
    if len(set(keys)) >= BOOTSTRAP_PROMPTS and np.ptp(values) > 0:
        return bootstrap_mean(values, keys, seed=seed)
    return wilson_t(values, keys)


def clustered_error(values: NDArray[np.float64], keys: Sequence[str]) -> float:
    """Standard error of the mean over clusters; sd / sqrt(n) where each value is its own cluster."""
    sums = _cluster_sums(values - values.mean(), keys)
    return float(np.sqrt(len(sums) / max(len(sums) - 1, 1) * (sums @ sums))) / len(values)


def canaries(responses: Sequence[str], win_rate: float, low: float) -> list[dict[str, str]]:
    """What is wrong with the answers themselves, and whether the judge noticed; rates are fractions."""
    found = []
    distinct, empty = len(set(responses)), sum(not text.strip() for text in responses)
    verdict = (
        f"and still wins {100 * win_rate:.1f} %: the judge is fooled, and its other verdicts cannot be trusted either"
        if low > FOOLED
        else f"and wins {100 * win_rate:.1f} %: the judge rejects it, as it should"
    )
    if len(responses) >= 20 and distinct <= max(1, CONSTANT_SHARE * len(responses)):
        answers = "answer" if distinct == 1 else "answers"
        message = f"{distinct} distinct {answers} in {len(responses)}: the model says the same to everyone, {verdict}"
        found.append({"id": "constant_answer", "message": message})
    if responses and empty > EMPTY_SHARE * len(responses):
        found.append({"id": "empty_answers", "message": f"{empty} of {len(responses)} answers are empty, {verdict}"})
    return found


def _length_control(
    judged: Sequence[tuple[Path, Judged]], weights: PublishedWeights | None, seed: int
) -> Mapping[int, dict[str, Any]]:
    """What is known of each place in `judged`: candidates of one judge and one baseline are fitted together."""
    found: dict[int, dict[str, Any]] = {}
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, (file, one) in enumerate(judged):
        if weights is not None:
            names = one.candidate, file.name.split(".json")[0]  # a generator's name may be no more than "example"
            controlled = weights.length_controlled(names, [unit.key for unit in one.units])
            found[place] = _controlled(controlled, "published weights")
        elif all(unit.response is not None and unit.baseline_response is not None for unit in one.units):
            groups[one.judge, one.baseline].append(place)
    for places in groups.values():
        method = f"joint fit of {len(places)} models" if len(places) > 1 else "fit of this model alone"
        fitted = length_controlled([_verdicts(judged[place][1].units) for place in places], seed=seed)
        found |= {place: _controlled(one, method) for place, one in zip(places, fitted, strict=True)}
    return found


def _controlled(controlled: LengthControlled, method: str) -> dict[str, Any]:
    return {
        "length_controlled_win_rate": 100 * controlled.win_rate,
        "length_controlled_standard_error": 100 * controlled.standard_error,
        "length_coefficient": controlled.length_coefficient,
        "length_control": method,
    }


def _verdicts(units: Sequence[Unit]) -> LengthVerdicts:
    differences = [len(unit.response or "") - len(unit.baseline_response or "") for unit in units]
    return LengthVerdicts(
        [unit.key for unit in units], np.array([unit.value for unit in units]), np.array(differences, dtype=float)
    )


def _ratings(judged: Sequence[Judged]) -> Result:
    """Ratings of all models where there are at least three; null, with the reason, where they have no finite value."""
    contests = [contest for one in judged for contest in one.contests]
    if len({name for contest in contests for name in contest[:2]}) < 3:
        return {}
    try:
        rated = rate_all([contest[:3] for contest in contests], [contest.prompt for contest in contests])
    except DataError as error:
        return {"ratings": None, "ratings_reason": str(error)}
    return {
        "ratings": [
            {
                "model": one.name,
                "elo": ELO_PER_NAT * one.strength,
                "ci95": [ELO_PER_NAT * one.low, ELO_PER_NAT * one.high],
            }
            for one in rated.ratings
        ],
        "rating_differences": [
            {
                "first": d.first,
                "second": d.second,
                "elo": ELO_PER_NAT * d.difference,
                "ci95": [ELO_PER_NAT * d.low, ELO_PER_NAT * d.high],
                "p_holm": d.p_holm,
            }
            for d in rated.differences
        ],
    }


def _needed(margin: float, tie_rate: float) -> int | None:
    """Prompts that tell 50 % + margin from 50 % with power 0.8; None where so many ties leave no room for it."""
    try:
        return prompts_needed(0.5 + margin / 100, tie_rate=tie_rate)
    except ValueError:
        return None


def _keys(judged: Judged) -> set[str]:
    return {unit.key for unit in judged.units}


def _contamination(judged: Judged, texts: Mapping[str, str], tainted: Mapping[str, How], seed: int) -> Result:
    """How many prompts were looked for and found, and the rate without those that were."""
    keys = _keys(judged)
    found = [tainted[key] for key in keys if key in tainted]
    clean = [unit for unit in judged.units if unit.key not in tainted]
    rest = _rate(rate_interval(np.array([u.value for u in clean]), [u.key for u in clean], seed)) if clean else {}
    return {
        "looked_for": sum(key in texts for key in keys),
        "exact": found.count("exact"),
        "near": found.count("near"),
        "without": {"n": len(clean), **rest},
    }


def _parts(units: Sequence[Unit], group_of: Callable[[Unit], str]) -> dict[str, Result]:
    groups: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        if group := group_of(unit):
            groups[group].append(unit)
    return {
        kind: {"n": len(own), **_rate(wilson_t([u.value for u in own], [u.key for u in own]))}
        for kind, own in sorted(groups.items())
    }


def _rate(interval: Interval) -> Result:
    return {"win_rate": 100 * interval.value, "ci95": [100 * interval.low, 100 * interval.high]}


def _cluster_sums(values: NDArray[np.float64], keys: Sequence[str]) -> NDArray[np.float64]:
    place: dict[str, int] = {}
    numbers = [place.setdefault(key, len(place)) for key in keys]
    return np.asarray(np.bincount(numbers, weights=values), dtype=np.float64)
