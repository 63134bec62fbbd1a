"""Whether there is anything to learn from, and whether it is learned."""

import math

import numpy as np

from boresight.diagnosis.rules.movement import LIKELY, fell, rose, stands_still, steady_level
from boresight.diagnosis.rules.pairs import drowned
from boresight.diagnosis.rules.rule import Finding, Rule, Severity, evidence
from boresight.diagnosis.signals import PAIR_METHODS, RL_METHODS, LoggedRun
from boresight.stats.trends import trend

_GROUPS = "Shao et al. 2024 (arXiv:2402.03300): the advantage is the reward minus that of its group"


def zero_variance_groups(run: LoggedRun) -> Finding | None:
    """All answers to a prompt have one reward, so that no advantage is left."""
    share, spread, reward = run.get("reward/zero_variance_share"), run.get("reward/deviation"), run.get("reward/score")
    none = share is not None and share.median >= 0.9
    none = none or (spread is not None and float((np.abs(spread.values) < 1e-9).mean()) >= 0.6)
    many = share is not None and len(share) >= 5 and share.late >= 0.75 and share.median >= 0.5
    if not none and not many:
        return None
    solved = rose(reward) and reward is not None and reward.late > reward.early
    how = "all of them" if none else f"{share.late:.0%} of them at the end" if share is not None else "most"
    cause = (
        f"The answers of a group have the same reward, in {how}: no advantage, and no gradient but that of the KL term."
    )
    severity: Severity = "error" if none else "warning"
    if solved:
        severity, cause = (
            "note",
            cause + " The reward has risen before, so the prompts are solved rather than too hard.",
        )
    return Finding(
        "zero_variance_groups",
        severity,
        cause,
        evidence(share, spread, reward),
        "Choose prompts that the policy solves sometimes (10 to 90 % of the tries), leave out groups without spread, "
        "sample more answers a prompt, or reward partial success. The spread of a component over the batch is not that "
        "within a group.",
        _GROUPS,
    )


def no_learning(run: LoggedRun) -> Finding | None:
    if run.method in RL_METHODS:
        return _no_gradient(run) or _never_succeeds(run) or _reward_flat(run)
    return _no_gradient(run) or _preferences_flat(run)


def _no_gradient(run: LoggedRun) -> Finding | None:
    """The gradient is zero although there is something to learn from."""
    norm, spread = run.get("optim/grad_norm"), run.get("reward/deviation")
    if norm is None or float((norm.values == 0).mean()) < 0.8 or (len(norm) < 2 and run.method not in RL_METHODS):
        return None
    if run.method in RL_METHODS and (spread is None or spread.median <= 1e-6):
        return None
    if run.method in (*PAIR_METHODS, "rm") and (loss := run.get("loss/total")) is not None and loss.late < 1e-3:
        return None
    kl = run.first_of("policy/kl_per_token", "policy/kl_to_reference", "policy/kl_unknown_unit")
    return Finding(
        "no_learning",
        "error",
        "The gradient is exactly 0 although answers differ in reward: the update does not reach the weights. Equal "
        "rewards cannot be the reason."
        if spread is not None
        else "The gradient is exactly 0 in nearly every row.",
        evidence(norm, spread, kl, run.get("reward/score")),
        "See that the trained weights require a gradient and are those of the optimizer (adapter attached, not merged "
        "or frozen; checkpointing with inputs that require gradients), and try one process before several.",
        "a gradient's norm does not depend on the learning rate: it is 0 only where no path leads to the weights",
    )


def _never_succeeds(run: LoggedRun) -> Finding | None:
    reward = run.get("reward/score")
    if reward is None or len(reward) < 10 or float(np.ptp(np.quantile(reward.values, [0.02, 0.98]))) > 1e-9:
        return None
    if reward.median > 0.9:
        return None
    return _flat(
        "error", f"The reward is {reward.median:.3g} in every row: no answer is ever better than another.", run
    )


def _reward_flat(run: LoggedRun) -> Finding | None:
    reward = run.get("reward/score")
    if reward is None or rose(run.get("reward/validation")):
        return None
    done = _finished(run)
    if fell(reward) and not rose(run.get("reward/shaped")):
        return _flat("error", f"The reward falls from {reward.early:.3g} to {reward.late:.3g}.", run)
    if stands_still(reward) and trend(reward.values).z < LIKELY and reward.median < 0.95 * float(reward.values.max()):
        severity: Severity = "error" if done or len(reward) >= 100 else "warning"
        return _flat(severity, f"The reward stands at {reward.median:.3g} over {len(reward)} rows.", run)
    if done and len(reward) < 20 and steady_level(reward):
        return _flat("warning", f"The reward is {reward.median:.3g} from the beginning to the end of the run.", run)
    return None


def _flat(severity: Severity, what: str, run: LoggedRun) -> Finding:
    kl = run.first_of("policy/kl_to_reference", "policy/kl_per_token", "policy/kl_unknown_unit")
    still = kl is not None and abs(kl.late) < 1e-4
    why = (
        " The KL stays at 0, so the policy does not move." if still else " What moves in loss or KL does not reach it."
    )
    return Finding(
        "no_learning",
        severity,
        what + why,
        evidence(run.get("reward/score"), kl, run.get("reward/deviation"), run.get("optim/grad_norm")),
        "Look at answers and their rewards by hand: is a good one scored better? Then raise the learning rate (or "
        "lower the KL coefficient) threefold, take more answers a step, and begin with easier prompts. A policy "
        "gradient's loss that rises or falls says nothing here.",
        "Huang et al. 2024 (arXiv:2403.17031); Ouyang et al. 2022 (arXiv:2203.02155)",
    )


def _preferences_flat(run: LoggedRun) -> Finding | None:
    """DPO that stays at log 2."""
    loss, accuracy = run.get("loss/total"), run.get("reward/accuracy")
    if run.method != "dpo" or loss is None or len(loss) < 20 or drowned(run):
        return None
    undecided = accuracy is None or 0.4 < accuracy.late < 0.58
    if abs(loss.late - math.log(2)) > 0.01 or trend(loss.values).z < -LIKELY or not undecided:
        return None
    return Finding(
        "no_learning",
        "warning",
        f"The loss stays at log 2 ({loss.late:.4g}): chosen and rejected responses are not told apart.",
        evidence(loss, run.get("reward/margin"), accuracy, run.get("optim/learning_rate")),
        "See that the learning rate is not 0 after rounding or warm-up, that the adapter is trained, and that pairs "
        "keep their difference after truncation.",
        "Rafailov et al. 2023 (arXiv:2305.18290): the loss is log 2 where policy and reference are equal",
    )


def _finished(run: LoggedRun) -> bool:
    """The run has come to its end: by its own count, or by the schedule of its learning rate."""
    progress, rate = run.get("run/progress"), run.get("optim/learning_rate")
    if progress is not None and progress.values[-1] >= 0.9:
        return True
    return rate is not None and len(rate) >= 5 and rate.values.max() > 0 and rate.values[-1] <= 0.05 * rate.values.max()


RULES = (
    Rule(
        "zero_variance_groups",
        "no spread of reward within 9 of 10 groups (warning: three quarters)",
        zero_variance_groups,
        (("reward/zero_variance_share", "reward/deviation"),),
        ("grpo", "rloo", "policy_gradient"),
    ),
    Rule(
        "no_learning",
        "a gradient of 0 although rewards differ, a reward that is constant, falls, or does not move "
        "over enough rows to see it; DPO at log 2",
        no_learning,
        (("reward/score", "loss/total"),),
    ),
)
