"""Reward that is earned without what it stands for, and a value model that does not follow."""

import numpy as np

from boresight.diagnosis.over_optimisation import fit_curve, told
from boresight.diagnosis.rules.drift import kl_of
from boresight.diagnosis.rules.movement import LIKELY, SURE, fell, jumps_up, moved, rose
from boresight.diagnosis.rules.rule import Finding, Rule, Severity, evidence
from boresight.diagnosis.signals import RL_METHODS, LoggedRun, Series
from boresight.stats.trends import trend

_GAO = "Gao et al. 2022 (arXiv:2210.10760): the proxy keeps rising after the true reward has turned"
CANARY_STEPS = 8
"""Looks of the canary below which it says nothing."""

_ACTION = (
    "Stop at the last checkpoint at which the true score still rose, and read its answers; raise the KL coefficient, "
    "train the reward model on answers of this policy, and judge a small sample by other means every few steps."
)


def reward_hacking(run: LoggedRun) -> Finding | None:
    return _against_true_score(run) or _against_canary(run) or _by_signs(run)


def monitors(run: LoggedRun) -> list[Series]:
    """Scores that are logged but not rewarded: beside a component that is the reward itself, or on held-out prompts."""
    score = run.get("reward/score")
    parts = run.components()
    if score is None:
        return []
    beside = [part for part in parts if not _equal(part, score)]
    rewarded_alone = len(beside) < len(parts)
    outside = [s for s in (run.get("reward/validation"), run.get("eval/win_rate")) if s is not None]
    return outside + (beside if rewarded_alone and not _is_sum(score, parts) else [])


def _equal(first: Series, second: Series) -> bool:
    return len(first) == len(second) and bool(np.allclose(first.values, second.values, rtol=1e-5, atol=1e-8))


def _is_sum(score: Series, parts: list[Series]) -> bool:
    """The reward is made of all its parts (some may be 0 throughout)."""
    moving = [part for part in parts if np.ptp(part.values) > 0]
    return (
        len(moving) > 1
        and all(len(part) == len(score) for part in moving)
        and bool(np.allclose(sum(part.values for part in moving), score.values, rtol=1e-3, atol=1e-5))
    )


def _against_true_score(run: LoggedRun) -> Finding | None:
    score, kl = run.get("reward/score"), kl_of(run)
    if score is None or not rose(score):
        return None
    for true in monitors(run):
        if len(true) < 5:
            continue
        gain, true_gain = moved(score), moved(true)
        component = true.name not in ("reward/validation", "eval/win_rate")
        lags = component and true_gain < 0.1 * gain and true.late < 0.25 * score.late
        falls = fell(true, LIKELY) and true_gain < 0
        if not (lags or falls):
            continue
        severity: Severity = "error" if lags or trend(true.values).z < -2.58 else "warning"
        return Finding(
            "reward_hacking",
            severity,
            f"The trained reward ({score.source}) rises by {gain:.3g} while {true.source}, which is not trained on, "
            f"{'falls' if true_gain < 0 else 'gains only'} {abs(true_gain):.3g}: the policy earns the reward without "
            "doing what it stands for.",
            evidence(score, true, run.get("policy/entropy"), kl.series if kl else None),
            _ACTION,
            _GAO,
        )
    return None


def _against_canary(run: LoggedRun) -> Finding | None:
    """While the paid score rises the canary turns, stays behind (each in its own deviations at the start), or parts
    from it."""
    score, canary = run.get("reward/score"), run.get("reward/canary_score")
    if score is None or canary is None or len(canary) < CANARY_STEPS or not rose(score, LIKELY):
        return None
    units = [
        _unit(run.get(f"reward/{name}_deviation"), series) for name, series in (("score", score), ("canary", canary))
    ]
    gain, canary_gain = moved(score) / units[0], moved(canary) / units[1]
    turned = _turned(canary, units[1])
    paid_since = None if turned is None else score.late - _near(score, turned)
    rises = paid_since is not None and paid_since > 0
    correlation, kl = run.get("reward/canary_correlation"), run.get("policy/kl_to_reference")
    if turned is not None and rises:
        how = f"turns at step {turned:g} and falls, while the paid score rises on"
    elif gain > 1.0 and canary_gain < 0.25 * gain:
        how = f"gains {canary_gain:.2g} of its deviations, the paid score {gain:.2g}"
    elif correlation is not None and _parted(correlation):
        how = (
            f"no longer orders the answers of a step as the paid one does: rank correlation {correlation.late:.2f}, at "
            f"first {correlation.early:.2f}"
        )
    else:
        return None
    fit = fit_curve(canary, kl)
    return Finding(
        "reward_hacking",
        "error" if canary_gain < 0 or (turned is not None and rises and canary_gain < 0.5 * gain) else "warning",
        f"The canary, a second reward that is not trained on, {how}: the policy finds what the paid one alone likes."
        + (f" {told(fit, 'The canary')}" if fit is not None else ""),
        evidence(score, canary, correlation, kl),
        _ACTION,
        _GAO,
    )


def _parted(correlation: Series) -> bool:
    """Answers that both told apart at first are told apart by one alone."""
    return (
        len(correlation) >= 2 * CANARY_STEPS
        and fell(correlation)
        and correlation.late < min(0.2, 0.5 * correlation.early)
    )


def _unit(deviation: Series | None, series: Series) -> float:
    """The deviation over responses at the start; where it is not logged that over the steps."""
    found = deviation.early if deviation is not None else float(series.values.std())
    return max(found, 1e-9)


def _turned(canary: Series, unit: float) -> float | None:
    """The step of its highest level (means of a tenth of the run), where it has come down from there beyond chance and
    by a quarter of a deviation."""
    size = max(len(canary) // 10, 3)
    levels = np.convolve(canary.values, np.ones(size) / size, mode="valid")
    best = int(levels.argmax())
    since = canary.values[best:]
    if len(since) < 2 * size or levels[best] - levels[-1] < 0.25 * unit or trend(since).z > -SURE:
        return None
    return float(canary.steps[best + size // 2])


def _near(series: Series, step: float) -> float:
    """Its level around a step."""
    place = int(np.searchsorted(series.steps, step))
    return float(np.median(series.values[max(place - 2, 0) : place + 3]))


def _by_signs(run: LoggedRun) -> Finding | None:
    """Without a true score: reward up, far from the reference, and answers that lose variety. A suspicion, said so."""
    score, kl = run.get("reward/score"), kl_of(run)
    if score is None or not rose(score):
        return None
    far = kl is not None and not np.isnan(kl.per_token) and len(kl.series) >= 8
    far = (
        far and kl is not None and kl.series.late > 0.1 * kl.per_token and kl.series.late > 3 * max(kl.series.early, 0)
    )
    signs = _lost_variety(run)
    jump = jumps_up(score)
    if not signs or not (far or jump is not None or len(signs) >= 2):
        return None
    return Finding(
        "reward_hacking",
        "warning",
        f"Suspected: the reward rises from {score.early:.3g} to {score.late:.3g}"
        + (f", KL to {kl.series.late:.3g} {kl.unit}" if far and kl is not None else "")
        + (f", at once at step {jump:g}" if jump is not None else "")
        + f", and {' and '.join(word for word, _ in signs)}. Logs alone cannot prove it: no true score stands beside.",
        evidence(score, kl.series if kl else None, *(series for _, series in signs)),
        _ACTION,
        _GAO,
    )


def _lost_variety(run: LoggedRun) -> list[tuple[str, Series]]:
    entropy, distinct = run.get("policy/entropy"), run.get("rollout/distinct_responses")
    repetition, length = run.get("rollout/repetition"), run.get("rollout/length_tokens")
    signs: list[tuple[str, Series]] = []
    if entropy is not None and entropy.early >= 0.15 and fell(entropy) and entropy.late < 0.5 * entropy.early:
        signs.append((f"entropy falls to {entropy.late / entropy.early:.0%}", entropy))
    if distinct is not None and fell(distinct) and distinct.late < 0.6 * distinct.early:
        signs.append((f"only {distinct.late:.0%} of the answers differ", distinct))
    if repetition is not None and rose(repetition) and repetition.late > max(1.75 * repetition.early, 0.1):
        signs.append((f"repetition rises to {repetition.late:.0%}", repetition))
    if length is not None and rose(length) and length.late > 1.8 * length.early:
        signs.append((f"answers grow {length.late / length.early:.1f} times", length))
    return signs


def value_not_learning(run: LoggedRun) -> Finding | None:
    fit, loss, score = run.get("value/explained_variance"), run.get("loss/value"), run.get("reward/score")
    if fit is not None and len(fit) >= 10 and fit.part(0.5, 1).median < 0:
        return _value(
            f"The value model explains {fit.late:.3g} of the variance of returns: worse than a constant.", fit, loss
        )
    if loss is None or score is None or len(loss) < 20 or len(score) < 20 or fit is not None:
        return None
    spread = max(float(score.values.var()), 1e-4)
    if loss.late > 0.8 * loss.early and loss.late > 10 * spread and loss.late > 0.5:
        return _value(
            f"The value loss stays at {loss.late:.3g} although rewards vary by only {spread**0.5:.2g}: the value "
            "model does not fit, so advantages are mostly its error.",
            loss,
            score,
        )
    return None


def _value(cause: str, *series: Series | None) -> Finding:
    return Finding(
        "value_not_learning",
        "warning",
        cause,
        evidence(*series),
        "Start the value model from the reward model, give it a larger learning rate (1e-5 and up) and some steps "
        "before the policy moves, whiten rewards, and see that it reads the same tokens; or use RLOO, which needs "
        "none.",
        "Huang et al. 2024 (arXiv:2403.17031); verl's critic/vf_explained_var",
    )


RULES = (
    Rule(
        "reward_hacking",
        "the trained reward rises while a score that is not trained on stays or falls, or a canary turns, gains less "
        "than a quarter of it (in deviations of the start) or no longer orders answers as it does; or, as a suspicion: "
        "reward up, KL far, and answers that lose variety",
        reward_hacking,
        (("reward/score",),),
        RL_METHODS,
    ),
)
RULES_VALUE = (
    Rule(
        "value_not_learning",
        "explained variance below 0 in the second half, or a value loss that stays far above the variance of rewards",
        value_not_learning,
        (("value/explained_variance", "loss/value"),),
        ("ppo",),
    ),
)
