"""A candidate's answers to probes beside a baseline's, probe by probe: what got better, what worse, how surely."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boresight.evaluation.probe_items import Given, Probe
from boresight.evaluation.probe_measures import (
    MEASURES,
    Better,
    Values,
    chosen_option,
    measure,
    option_probabilities,
    shared_openings,
)
from boresight.stats.calibration import expected_calibration_error, reliability_table
from boresight.stats.intervals import Interval, bootstrap_mean, mcnemar, wilson, wilson_t
from boresight.stats.significance import holm, sign_flip_test

Result = dict[str, Any]
Answers = Mapping[str, Given]

LEVEL = 0.05
BOOTSTRAP_PROBES = 20
DIVERSITY_WORDS = 30  # of each answer, so that who says more does not look less diverse
UNCERTAIN_CHOICE = ("behaviour", "opinion")


def compare_probes(probes: Sequence[Probe], candidate: Answers, baseline: Answers, *, seed: int = 0) -> Result:
    """{n, measures: [one block each], regressions, diversity, calibration, unreadable}, answers by probe id.

    A measure is compared on the probes where both models have it: yes or no by McNemar's exact test with Wilson's
    interval (Student's t) of the difference, a number by a sign-flip test with a paired bootstrap. `p_holm` corrects
    for the number of measures. verdict: better, worse, different (where no direction is wanted) or "not shown".
    """
    values = [_values(probes, given) for given in (candidate, baseline)]
    blocks = []
    for name, group in _names(probes, values[0]):
        both = [(values[0][p.id][name], values[1][p.id][name]) for p in probes if _has(p, name, group, values)]
        if both:
            left_out = sum(
                name in side.get(p.id, {}) for p in probes for side in values if p.group == group or not group
            )
            block = _block(name, np.array(both), seed)
            blocks.append({"measure": name, "group": group, **block, "left_out": left_out - 2 * len(both)})
    for block, corrected in zip(blocks, holm([block["p"] for block in blocks]), strict=True):
        block["p_holm"] = corrected
        block["verdict"] = _verdict(MEASURES[block["measure"]].better, block["difference"], corrected)
    return {
        "n": len(probes),
        "kinds": dict(Counter(probe.kind for probe in probes)),
        "measures": blocks,
        "regressions": [_label(block) for block in blocks if block["verdict"] == "worse"],
        "diversity": {name: diversity(_texts(probes, given)) for name, given in _named(candidate, baseline)},
        "calibration": {name: _calibration(probes, given) for name, given in _named(candidate, baseline)},
        "unreadable": {name: _unreadable(probes, given) for name, given in _named(candidate, baseline)},
    }


def diversity(texts: Sequence[str]) -> Result | None:
    """Distinct answers and distinct-1 and -2 (Li et al. 2016, arXiv:1510.03055) of the first words of each answer."""
    if not texts:
        return None
    words = [text.lower().split()[:DIVERSITY_WORDS] for text in texts]
    grams = {n: [tuple(own[i : i + n]) for own in words for i in range(len(own) - n + 1)] for n in (1, 2)}
    shares = {f"distinct_{n}": len(set(seen)) / len(seen) if seen else None for n, seen in grams.items()}
    return {"answers": len(texts), "distinct_answers": len(set(texts)), **shares}


def _named(candidate: Answers, baseline: Answers) -> tuple[tuple[str, Answers], ...]:
    return ("candidate", candidate), ("baseline", baseline)


def _values(probes: Sequence[Probe], given: Answers) -> dict[str, Values]:
    """Measures of each answered probe, by its id."""
    values = {probe.id: measure(probe, given[probe.id]) for probe in probes if probe.id in given}
    spoken = [probe.id for probe in probes if "words" in values.get(probe.id, {})]
    openings = shared_openings([given[name].text or "" for name in spoken])
    for name, shared in zip(spoken, openings, strict=True):
        values[name]["shared_opening"] = shared
    return values


def _names(probes: Sequence[Probe], values: Mapping[str, Values]) -> list[tuple[str, str]]:
    """Measures in their order; a behaviour is a measure of its own in each group."""
    groups: dict[str, dict[str, None]] = defaultdict(dict)
    for probe in probes:
        for name in values.get(probe.id, {}):
            groups[name].setdefault(probe.group if name == "matches_behaviour" else "")
    return [(name, group) for name in MEASURES for group in groups.get(name, {})]


def _has(probe: Probe, name: str, group: str, values: Sequence[Mapping[str, Values]]) -> bool:
    return (not group or probe.group == group) and all(name in side.get(probe.id, {}) for side in values)


def _block(name: str, both: NDArray[np.float64], seed: int) -> Result:
    """`both` is (probes, 2): candidate, baseline."""
    difference = both[:, 0] - both[:, 1]
    means = {"n": len(both), "candidate": float(both[:, 0].mean()), "baseline": float(both[:, 1].mean())}
    if MEASURES[name].binary:
        found = mcnemar(both[:, 0], both[:, 1])
        interval = paired_rate_interval(difference)
        test = {"test": "McNemar", "only_candidate": found.only_first, "only_baseline": found.only_second}
        p = found.p_value
    else:
        interval, test = paired_interval(difference, seed), {"test": "sign flip"}
        p = sign_flip_test(difference, range(len(both)), seed=seed)
    return {**means, "difference": float(difference.mean()), "ci95": [interval.low, interval.high], **test, "p": p}


def paired_rate_interval(difference: NDArray[np.float64]) -> Interval:
    """Interval of the mean of differences from -1 to 1 (probes,): Wilson's with Student's t after scaling to 0..1.

    Where no pair differs, the difference is at most the share of pairs that may differ unseen, Wilson's upper end.
    """
    n = len(difference)
    if not difference.any():
        unseen = wilson(0, n).high
        return Interval(0.0, -unseen, unseen, n)
    half = wilson_t((difference + 1) / 2, range(n))
    return Interval(2 * half.value - 1, 2 * half.low - 1, 2 * half.high - 1, n)


def paired_interval(difference: NDArray[np.float64], seed: int) -> Interval:
    """Interval of the mean of differences of any size (probes,): paired bootstrap; for few probes, Student's t through
    Wilson's form on the range from minus to plus the largest that was seen, as a bootstrap of few claims too much. No
    width where no probe differs at all."""
    largest = float(np.abs(difference).max())
    if len(difference) >= BOOTSTRAP_PROBES or not largest:
        return bootstrap_mean(difference, range(len(difference)), seed=seed)
    scaled = paired_rate_interval(difference / largest)
    return Interval(largest * scaled.value, largest * scaled.low, largest * scaled.high, scaled.n)


def _verdict(better: Better, difference: float, p: float) -> str:
    if p > LEVEL or difference == 0:
        return "not shown"
    if not better:
        return "different"
    return "better" if (difference < 0) == (better == "lower") else "worse"


def _label(block: Result) -> str:
    return str(block["measure"]) + (f" ({block['group']})" if block["group"] else "")


def _texts(probes: Sequence[Probe], given: Answers) -> list[str]:
    answered = [given[probe.id].text for probe in probes if probe.id in given and not probe.options]
    return [text for text in answered if text is not None]


def _calibration(probes: Sequence[Probe], given: Answers) -> Result | None:
    """Confidence in the likeliest option against how often it is right; None without log-probabilities."""
    sure, right = [], []
    for probe in probes:
        logps = given[probe.id].logps if probe.kind == "choice" and probe.id in given else None
        if logps is not None:
            sure.append(float(option_probabilities(logps).max()))
            right.append(float(chosen_option(probe.options, None, logps) in probe.expect["right"]))
    if not sure:
        return None
    ece = expected_calibration_error(reliability_table(sure, right))
    return {"n": len(sure), "confidence": float(np.mean(sure)), "accuracy": float(np.mean(right)), "ece": ece}


def _unreadable(probes: Sequence[Probe], given: Answers) -> int:
    """Answers to a choice without a right one that name no option."""
    return sum(
        chosen_option(probe.options, given[probe.id].text, given[probe.id].logps) is None
        for probe in probes
        if probe.kind in UNCERTAIN_CHOICE and probe.id in given
    )
