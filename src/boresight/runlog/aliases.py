"""Our metrics under the names that TRL's trainers log them by, so that dashboards made for those show our runs.

Only what is the same quantity has an alias: TRL's `objective/rlhf_reward` is of raw scores and ours of normalised ones,
so it has none. Names: TRL 1.16, and of PPO the last version that had it (1.12).
"""

from collections.abc import Mapping

EVERY: Mapping[str, str] = {
    "loss/total": "loss",
    "optim/grad_norm": "grad_norm",
    "optim/learning_rate": "learning_rate",
    "data/epoch": "epoch",
}
PAIRS: Mapping[str, str] = {
    "reward/chosen": "rewards/chosen",
    "reward/rejected": "rewards/rejected",
    "reward/margin": "rewards/margins",
    "reward/accuracy": "rewards/accuracies",
    "policy/chosen_logp_sum": "logps/chosen",
    "policy/rejected_logp_sum": "logps/rejected",
}
SAMPLED: Mapping[str, str] = {
    "policy/kl_to_reference": "objective/kl",
    "reward/score": "objective/scores",
    "policy/entropy": "policy/entropy_avg",
    "policy/approximate_kl": "policy/approxkl_avg",
    "policy/clip_fraction": "policy/clipfrac_avg",
    "policy/ratio_mean": "val/ratio",
    "loss/policy": "loss/policy_avg",
    "loss/value": "loss/value_avg",
    "value/clip_fraction": "val/clipfrac_avg",
    "rollout/length_tokens": "completions/mean_length",
}
ALIASES: Mapping[str, Mapping[str, str]] = {
    "sft": EVERY,
    "reward_model": {**EVERY, "reward/accuracy": "accuracy", "reward/margin": "margin"},
    "dpo": {**EVERY, **PAIRS},
    "kto": {**EVERY, **PAIRS},
    "simpo": {**EVERY, **PAIRS},
    "orpo": {
        **EVERY,
        "loss/nll": "nll_loss",
        "policy/log_odds_ratio": "log_odds_chosen",
        "policy/chosen_logp_mean": "logps/chosen",  # a mean over tokens in that trainer
        "policy/rejected_logp_mean": "logps/rejected",
    },
    "ppo": {**EVERY, **SAMPLED},
    "rloo": {**EVERY, **SAMPLED},
}
"""By kind of stage: name here -> name there."""


def aliased(kind: str, values: Mapping[str, float]) -> dict[str, float]:
    """The values that TRL has a name for, by that name."""
    names = ALIASES.get(kind, {})
    return {names[name]: value for name, value in values.items() if name in names}
