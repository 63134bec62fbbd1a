"""Numbers that are none any more, and updates that are too large for the loss to follow."""

import math

import numpy as np

from boresight.diagnosis.rules.movement import LIKELY, SURE
from boresight.diagnosis.rules.rule import Finding, Rule, Severity, evidence
from boresight.diagnosis.signals import PAIR_METHODS, TEXT_METHODS, Evidence, LoggedRun, Series
from boresight.stats.trends import blocks, trend

_CORE = (
    "loss/",
    "optim/grad_norm",
    "optim/value_grad_norm",
    "policy/kl",
    "policy/entropy",
    "policy/approximate_kl",
    "policy/chosen_logp",
    "policy/rejected_logp",
    "reward/score",
    "reward/chosen",
    "reward/rejected",
    "reward/margin",
)
"""Signals that must be numbers. A deviation of one sample, or a mean of no answers, may rightly be none."""

_EVAL = ("eval/",)


def _broken(run: LoggedRun, prefixes: tuple[str, ...]) -> list[Series]:
    found = [s for s in run.signals.values() if s.name.startswith(prefixes) and not np.isfinite(s.values).all()]
    return sorted(found, key=lambda s: s.steps[~np.isfinite(s.values)][0])


def _window(series: Series) -> Evidence:
    """From the last number before to the first that is none."""
    bad = int(np.flatnonzero(~np.isfinite(series.values))[0])
    before = max(bad - 1, 0)
    v, s = series.values, series.steps
    return Evidence(series.source, float(v[before]), float(v[bad]), float(s[before]), float(s[bad]))


def nan_inf(run: LoggedRun) -> Finding | None:
    broken = _broken(run, _CORE)
    held_out = _broken(run, _EVAL)
    if not broken and not held_out:
        return None
    shown = (broken or held_out)[:4]
    if broken:
        lasting = any(not np.isfinite(s.values[-1]) or (~np.isfinite(s.values)).mean() > 0.1 for s in broken)
        severity: Severity = "error" if lasting else "note"
        return Finding(
            "nan_inf", severity, _where(run, broken, lasting), tuple(map(_window, shown)), _NAN_ACTION, _NAN_SOURCE
        )
    return Finding(
        "nan_inf",
        "note",
        "The evaluation has values that are no numbers while training stays finite: an overflow in half precision, or "
        "a batch without a single token that counts.",
        tuple(map(_window, shown)),
        "Evaluate in float32, and look for empty responses in the held-out set.",
        _NAN_SOURCE,
    )


_NAN_ACTION = (
    "Stop: nothing after this row is training. Go back to the last checkpoint before it; use bfloat16 instead of "
    "float16, halve the learning rate, clip gradients at 1, and look at the batch of that step."
)
_NAN_SOURCE = "Micikevicius et al. 2018 (arXiv:1710.03740) on loss scaling; practice"


def _where(run: LoggedRun, broken: list[Series], lasting: bool) -> str:
    names = ", ".join(dict.fromkeys(s.source for s in broken[:4]))
    first = f"{names}: not a number from step {broken[0].steps[~np.isfinite(broken[0].values)][0]:g} on."
    if not lasting:
        return f"{names}: single values that are no numbers, and the run recovers: steps skipped by loss scaling."
    rate = run.get("optim/learning_rate")
    if rate is not None and rate.values.max() == 0:
        return (
            f"{first} The learning rate printed as 0 is a symptom: every step is skipped, so the schedule never moves."
        )
    if all(s.name in ("loss/value", "optim/value_grad_norm") for s in broken):
        return f"{first} Only the value model is broken; the policy's numbers still look normal, and will follow."
    loss = run.get("loss/total")
    if loss is not None and (loss.values == 0).any() and any("grad_norm" in s.source for s in broken):
        return f"{first} A loss of exactly 0 beside a gradient that is no number is the same fault, not a fit."
    return f"{first} An overflow, a division by nothing, or a step too large."


def lr_too_high(run: LoggedRun) -> Finding | None:
    looks = (_diverged, _wrong_by_far, _worse_than_start, _gradient_grows, _far_from_rollout)
    return next((finding for look in looks if (finding := look(run)) is not None), None)


def _finding(severity: Severity, cause: str, *series: Series | None) -> Finding:
    return Finding(
        "lr_too_high",
        severity,
        cause,
        evidence(*series),
        "Lower the learning rate by 3 to 10 times, warm up over the first 5 to 10 % of the steps, and clip gradients "
        "at 1. Usual: 5e-7 to 5e-6 for DPO and PPO of all weights, 1e-5 to 2e-4 with LoRA.",
        "Huang et al. 2024 (arXiv:2403.17031); SimPO's notes on learning rates (arXiv:2405.14734)",
    )


def _diverged(run: LoggedRun) -> Finding | None:
    """A loss that is fitted (not a policy gradient) ends well above the best it had."""
    loss = run.get("loss/total")
    if loss is None or run.method not in ("rm", *TEXT_METHODS, *PAIR_METHODS) or len(loss) < 12:
        return None
    levels = blocks(loss.values, 12)
    best, place = float(levels.min()), int(levels.argmin())
    noise = trend(loss.values).noise
    since = loss.values[place * len(loss) // len(levels) :]
    if trend(since).z < LIKELY:
        return None  # a batch of easy pairs is no best level: the loss has to rise from there
    if loss.late > 1.3 * best + 3 * noise and loss.late > best + 0.2 and loss.late > 0.9 * loss.early:
        how = "came down and then rose for good" if place else "rises for good from where it began"
        return _finding(
            "error", f"The training loss {how}: the steps are too large.", loss, run.get("optim/learning_rate")
        )
    return None


def _wrong_by_far(run: LoggedRun) -> Finding | None:
    """DPO losses far above log 2: pairs are not undecided but decided wrongly, by several nats."""
    loss = run.first_of("loss/preference", "loss/total")
    if loss is None or run.method != "dpo" or len(loss) < 4 or float((loss.values > 1.2).mean()) < 0.25:
        return None
    if loss.name == "loss/total" and run.get("loss/nll") is not None:
        return None  # a likelihood term is in it, whose weight the log does not tell
    return _finding(
        "warning",
        f"{(loss.values > 1.2).mean():.0%} of the losses are far above log 2 = 0.69, where DPO begins: "
        "margins swing by several nats from batch to batch instead of growing.",
        loss,
        run.get("reward/margin"),
        run.get("optim/learning_rate"),
    )


def _worse_than_start(run: LoggedRun) -> Finding | None:
    """DPO that moves far and yet stays above log 2, which doing nothing gives."""
    loss, chosen, margin = run.get("loss/total"), run.get("reward/chosen"), run.get("reward/margin")
    if run.method != "dpo" or loss is None or chosen is None or margin is None or len(loss) < 20:
        return None
    start = math.log(2)
    if abs(float(loss.values[0]) - start) > 0.02 or run.get("loss/nll") is not None:
        return None
    mean = float(loss.values[1:].mean())
    if (
        mean < start - 0.01
        or loss.late < start - 0.05
        or abs(chosen.late) < 0.3
        or abs(chosen.late) < 3 * abs(margin.late)
    ):
        return None
    return _finding(
        "error",
        f"The policy moves far (the chosen reward to {chosen.late:.3g}), but the loss is {mean:.3g} in the mean, "
        "no better than log 2 where it began: steps overshoot, and both responses are unlearned.",
        loss,
        chosen,
        margin,
        run.get("optim/learning_rate"),
    )


def _gradient_grows(run: LoggedRun) -> Finding | None:
    norm = run.get("optim/grad_norm")
    if norm is None or len(norm) < 12 or norm.early <= 0 or norm.late < 20 * norm.early or norm.late < 1:
        return None
    if trend(norm.values).z < SURE:
        return None
    return _finding("warning", f"The gradient grew from {norm.early:.3g} to {norm.late:.3g}.", norm)


def _far_from_rollout(run: LoggedRun) -> Finding | None:
    """The policy leaves the rollout's by more than any trust region within a batch."""
    moved = run.get("policy/approximate_kl")
    if moved is None or len(moved) < 5 or moved.median < 0.1:
        return None
    return _finding(
        "warning",
        f"Within one batch the policy moves {moved.median:.3g} nats a token from the one that sampled it; "
        "0.01 to 0.02 is usual.",
        moved,
        run.get("policy/clip_fraction"),
    )


RULES = (
    Rule(
        "nan_inf",
        "a loss, gradient, KL or log-probability that is NaN or infinite",
        nan_inf,
        (("loss/total", "loss/policy", "loss/value", "reward/score"),),
    ),
    Rule(
        "lr_too_high",
        "a fitted loss that rises for good, DPO losses far above log 2 or no better than it while both rewards run "
        "off, a gradient that grows 20 times, or 0.1 nats a token within one batch",
        lr_too_high,
        (("loss/total", "policy/approximate_kl", "optim/grad_norm"),),
    ),
)
