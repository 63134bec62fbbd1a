"""Reward that is earned without what it stands for, and a value model that does not follow."""

import numpy as np

from boresight.diagnosis.rules.canary import ACTION, GAO, against_canary
from boresight.diagnosis.rules.drift import kl_of
from boresight.diagnosis.rules.movement import LIKELY, fell, jumps_up, moved, rose
from boresight.diagnosis.rules.rule import Finding, Rule, Severity, evidence
from boresight.diagnosis.signals import RL_METHODS, LoggedRun, Series
from boresight.stats.trends import trend


def reward_hacking(run: LoggedRun) -> Finding | None:
    return _against_true_score(run) or against_canary(run) or _by_signs(run)


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
            ACTION,
            GAO,
        )
    return None


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
        ACTION,
        GAO,
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
