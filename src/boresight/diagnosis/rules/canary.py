"""A second reward that is not trained on, held against the one that is: where the two part, the paid one is hacked."""

from typing import NamedTuple

import numpy as np

from boresight.diagnosis.over_optimisation import fit_curve, told
from boresight.diagnosis.rules.movement import LIKELY, SURE, fell, moved, rose
from boresight.diagnosis.rules.rule import Finding, Severity, evidence
from boresight.diagnosis.signals import LoggedRun, Series
from boresight.stats.trends import trend

GAO = "Gao et al. 2022 (arXiv:2210.10760): the proxy keeps rising after the true reward has turned"
ACTION = (
    "Stop at the last checkpoint at which the true score still rose, and read its answers; raise the KL coefficient, "
    "train the reward model on answers of this policy, and judge a small sample by other means every few steps."
)

FEWEST = 8
"""Looks of the canary below which it says nothing."""


class Opinions(NamedTuple):
    """Both scores, and what each gains from the first fifth to the last in deviations over responses at the start."""

    score: Series
    canary: Series
    canary_unit: float
    gain: float
    canary_gain: float


def against_canary(run: LoggedRun) -> Finding | None:
    """While the paid score rises the canary turns, stays behind, or orders answers otherwise."""
    both = _opinions(run)
    if both is None or not rose(both.score, LIKELY):
        return None
    correlation, kl = run.get("reward/canary_correlation"), run.get("policy/kl_to_reference")
    severity: Severity = "error" if both.canary_gain < 0 else "warning"
    if (turned := _turned(both)) is not None:
        severity = "error" if both.canary_gain < 0.5 * both.gain else severity
        how = f"turns at step {turned:g} and falls, while the paid score rises on"
    elif both.gain > 1.0 and both.canary_gain < 0.25 * both.gain:
        how = f"gains {both.canary_gain:.2g} of its deviations, the paid score {both.gain:.2g}"
    elif correlation is not None and _parted(correlation):
        how = (
            f"no longer orders the answers of a step as the paid one does: rank correlation {correlation.late:.2f}, at "
            f"first {correlation.early:.2f}"
        )
    else:
        return None
    fit = fit_curve(both.canary, kl)
    return Finding(
        "reward_hacking",
        severity,
        f"The canary, a second reward that is not trained on, {how}: the policy finds what the paid one alone likes."
        + (f" {told(fit, 'The canary')}" if fit is not None else ""),
        evidence(both.score, both.canary, correlation, kl),
        ACTION,
        GAO,
    )


def _opinions(run: LoggedRun) -> Opinions | None:
    score, canary = run.get("reward/score"), run.get("reward/canary_score")
    spread, canary_spread = run.get("reward/score_deviation"), run.get("reward/canary_deviation")
    if score is None or canary is None or spread is None or canary_spread is None or len(canary) < FEWEST:
        return None
    units = [max(series.early, 1e-9) for series in (spread, canary_spread)]
    return Opinions(score, canary, units[1], moved(score) / units[0], moved(canary) / units[1])


def _turned(both: Opinions) -> float | None:
    """The step of the canary's highest level (means of a tenth of the run), where it has come down from there beyond
    chance and by a quarter of a deviation, and the paid score has risen meanwhile."""
    canary = both.canary
    size = max(len(canary) // 10, 3)
    levels = np.convolve(canary.values, np.ones(size) / size, mode="valid")
    best = int(levels.argmax())
    since = canary.values[best:]
    if len(since) < 2 * size or levels[best] - levels[-1] < 0.25 * both.canary_unit or trend(since).z > -SURE:
        return None
    step = float(canary.steps[best + size // 2])
    return step if both.score.late > _near(both.score, step) else None


def _parted(correlation: Series) -> bool:
    """Answers that both told apart at first are told apart by one alone."""
    long = len(correlation) >= 2 * FEWEST
    return long and fell(correlation) and correlation.late < min(0.2, 0.5 * correlation.early)


def _near(series: Series, step: float) -> float:
    """Its level around a step."""
    place = int(np.searchsorted(series.steps, step))
    return float(np.median(series.values[max(place - 2, 0) : place + 3]))
