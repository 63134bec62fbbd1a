"""What must hold before the first update: the policy is the reference, and both engines agree on log-probabilities."""

import math

import numpy as np

from boresight.diagnosis.rules.rule import Finding, Rule, evidence
from boresight.diagnosis.signals import RL_METHODS, LoggedRun

UNCOVERED_SHARE = 0.1
"""Of the prompts; 2 in 100 lie outside of their own set by the way it is counted."""

_START = "docs/concepts.md, invariants of the first step: KL 0, ratio 1, DPO loss log 2"


def begins_at_start(run: LoggedRun) -> bool:
    """The log's first row is that of the first updates, not of the middle of a run."""
    rate = run.get("optim/learning_rate")
    epoch = run.get("data/epoch")
    if not run.numbered and epoch is None:
        return False
    warming = rate is not None and len(rate) > 2 and rate.values[0] <= 0.1 * rate.values.max()
    return (run.first_step <= 2 and (epoch is None or epoch.values[0] < 0.05 or run.steps > 20)) or warming


def reference_mismatch(run: LoggedRun) -> Finding | None:
    """DPO's first row: the implicit rewards are those of a policy that has not moved."""
    chosen, rejected, loss = run.get("reward/chosen"), run.get("reward/rejected"), run.get("loss/total")
    first = [abs(float(s.values[0])) for s in (chosen, rejected, run.get("reward/margin")) if s is not None]
    if run.method != "dpo" or not begins_at_start(run) or not first:
        return None
    size = max(first)
    if size < 1.0:
        return None
    started = (
        f", and the loss {loss.values[0]:.3g} where it must be log 2 = {math.log(2):.3g}" if loss is not None else ""
    )
    return Finding(
        "reference_mismatch",
        "error",
        f"In the first row the implicit rewards are already {size:.3g}{started}: the reference is not the model that "
        "training starts from, or its log-probabilities are computed another way (template, truncation, dtype, "
        "dropout).",
        evidence(chosen, rejected, loss),
        "Load the reference from the very checkpoint that training starts from, with the same template, maximal length "
        "and dtype; compute its log-probabilities anew, and see that the first loss is 0.693.",
        "Rafailov et al. 2023 (arXiv:2305.18290), eq. 7: the loss is log 2 where policy and reference are equal",
    )


def logprob_mismatch(run: LoggedRun) -> Finding | None:
    return _sampler(run) or _first_kl(run)


def _sampler(run: LoggedRun) -> Finding | None:
    """The engine that samples and the one that trains give one token different probabilities, and of the same weights:
    of rollouts that are written ahead only the first are."""
    age = run.get("rollout/staleness")
    ahead = age is not None and age.late > 0.0
    limits = {
        "policy/sampler_probability_gap": 0.05, "policy/sampler_kl": 0.05, "policy/sampler_probability_factor": 1.1
    }  # fmt: skip
    bad = [
        (found, size)
        for name, limit in limits.items()
        if (found := run.get(name)) is not None
        and (size := abs(float(found.values[0]) if ahead else found.late)) > limit
    ]
    if not bad:
        return None
    first, size = bad[0]
    return Finding(
        "logprob_mismatch",
        "warning",
        f"The engine that samples and the one that trains disagree: {first.source} is {size:.3g}. Ratios and "
        "KL are then wrong before any update.",
        evidence(*(found for found, _ in bad)),
        "Use the same dtype, temperature and weights in both engines; recompute the log-probabilities of the rollout "
        "in the trainer, and truncate importance weights at 2.",
        "verl, docs/algo/rollout_corr.md: weights outside 0.5 to 2 call for a fix",
    )


def _first_kl(run: LoggedRun) -> Finding | None:
    """A KL in the first rollout, before there was an update."""
    kl = run.first_of("policy/kl_to_reference", "policy/kl_per_token")
    if kl is None or run.first_step > 1 or kl.steps[0] > 1 or not begins_at_start(run):
        return None
    limit = 1.0 if kl.name == "policy/kl_to_reference" else 0.05
    if abs(kl.values[0]) < limit:
        return None
    return Finding(
        "logprob_mismatch",
        "warning",
        f"{kl.source} is {kl.values[0]:.3g} in the first rollout, before any update, where it must be 0: policy and "
        "reference differ at the start (another checkpoint, an adapter that is not zero, dropout, temperature).",
        evidence(kl),
        "Start from the reference itself, in eval mode for rollouts, and divide logits by the "
        "temperature in every log-probability.",
        _START,
    )


def reference_moves(run: LoggedRun) -> Finding | None:
    """The policy moves from step to step, and yet never away from its reference."""
    kl = run.first_of("policy/kl_per_token", "policy/kl_to_reference")
    moved = run.get("policy/approximate_kl")
    if kl is None or moved is None or len(kl) < 10 or len(moved) < 10:
        return None
    travelled = float(np.abs(moved.values).sum())
    if float(np.abs(kl.values).max()) > 1e-4 or travelled < 0.01 or moved.median <= 1e-5:
        return None
    return Finding(
        "reference_moves",
        "error",
        f"The policy moves {moved.median:.3g} nats a token in a batch, {travelled:.3g} in all, but its KL from the "
        f"reference never exceeds {np.abs(kl.values).max():.2g}: the reference moves along, and nothing holds the "
        "policy.",
        evidence(kl, moved, run.get("reward/score")),
        "Load the reference as a model of its own (or switch the right adapter off), keep it out of the optimizer, and "
        "compare a hash of its weights before and after.",
        "Ziegler et al. 2019 (arXiv:1909.08593): the KL penalty is against the fixed starting model",
    )


def policy_not_finetuned(run: LoggedRun) -> Finding | None:
    """The first rollout is written by a model that has not learned to write."""
    entropy = run.get("policy/entropy")
    if entropy is None or not begins_at_start(run) or float(entropy.values[0]) < 5.0:
        return None
    stops = run.get("rollout/stop_rate")
    endless = stops is not None and stops.early < 0.5
    return Finding(
        "policy_not_finetuned",
        "error" if endless else "warning",
        f"Entropy is {entropy.values[0]:.3g} nats a token in the first row: hundreds of tokens are about as likely to "
        f"come next{', and few answers end' if endless else ''}. The policy has not been fine-tuned, or its weights "
        "did not load.",
        evidence(entropy, run.get("reward/score"), stops),
        "Fine-tune on demonstrations first, and start policy, reference and reward model from that model.",
        "Ouyang et al. 2022 (arXiv:2203.02155): PPO starts from the fine-tuned model",
    )


def uncovered_prompts(run: LoggedRun) -> Finding | None:
    share = run.get("rollout/uncovered_prompts")
    if share is None or share.median < UNCOVERED_SHARE:
        return None
    return Finding(
        "uncovered_prompts",
        "error" if share.median >= 0.5 else "warning",
        f"{share.median:.0%} of the prompts are unlike all that the reward model has learned from: its scores there "
        "are guesses, and a reward that rises says little.",
        evidence(share, run.get("reward/score"), run.get("value/explained_variance")),
        "Take prompts of the kinds that the preference pairs have, or gather pairs on these prompts and train the "
        "reward model again; `boresight check` shows which they are before the run.",
        "Ouyang et al. 2022 (arXiv:2203.02155), sec. 3.2: reward model and policy are trained on one distribution",
    )


RULES_PROMPTS = (
    Rule(
        "uncovered_prompts",
        "a tenth of the prompts (error: half) unlike those of the reward model's pairs",
        uncovered_prompts,
        (("rollout/uncovered_prompts",),),
        RL_METHODS,
    ),
)
RULES = (
    Rule(
        "reference_mismatch",
        "DPO rewards above 1 in the first row, where policy and reference must be equal",
        reference_mismatch,
        (("reward/chosen", "reward/margin"),),
        ("dpo",),
    ),
    Rule(
        "reference_moves",
        "KL from the reference at 0 throughout while the policy moves in every batch",
        reference_moves,
        (("policy/kl_to_reference", "policy/kl_per_token"), ("policy/approximate_kl",)),
        RL_METHODS,
    ),
    Rule(
        "policy_not_finetuned",
        "entropy of 5 nats a token or more in the first row (error: and fewer than half of the answers end)",
        policy_not_finetuned,
        (("policy/entropy",),),
        RL_METHODS,
    ),
    Rule(
        "logprob_mismatch",
        "KL above 0 before the first update, or sampler and trainer that disagree on probabilities",
        logprob_mismatch,
        (("policy/kl_to_reference", "policy/kl_per_token", "policy/sampler_kl", "policy/sampler_probability_gap"),),
        RL_METHODS,
    ),
)
