"""Which signal a logged name is, framework by framework, and how its unit becomes ours.

Sources: the code of TRL 0.11 to 1.10, OpenRLHF, verl, trlX, NeMo-RL, prime-rl, tinker-cookbook, ms-swift, LLaMA-Factory
and DeepSpeed-Chat. The same name can be two quantities (`objective/kl` is a sum over the response, `kl` of a group
method a mean over tokens), so a name may be bound to frameworks.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from boresight.diagnosis.signals import COMPONENT, Numbers, known

Conversion = Callable[[Numbers], Numbers]


class Name(NamedTuple):
    """A signal, and what makes the logged number one. `per` names frameworks that mean it so; empty means all."""

    signal: str
    convert: Conversion | None = None


def _one_minus(x: Numbers) -> Numbers:
    return 1 - x


def _percent(x: Numbers) -> Numbers:
    return x / 100


_ANY: dict[str, str] = {
    "loss/total": "loss total_loss losses/total_loss loss/mean loss_mean preference_loss dpo_loss grpo_loss/total_loss "
    "train_loss training_loss grpo_loss orpo_loss",
    "loss/nll": "nll_loss sft_loss ce_loss",
    "loss/policy": "loss/policy_avg ppo/loss/policy actor/pg_loss policy_loss act_loss losses/policy_loss pg_loss "
    "grpo_loss/policy_gradient_loss actor_loss",
    "loss/value": "loss/value_avg ppo/loss/value critic/vf_loss critic_loss cri_loss losses/value_loss value_loss "
    "vf_loss",
    "policy/kl_to_reference": "objective/kl kl_per_sequence kl_sum",
    "policy/kl_per_token": "actor/kl_loss actor/reward_kl_penalty critic/kl kl_penalty kl_policy_base kl_per_token "
    "grpo_loss/kl_divergence_mean",
    "policy/kl_maximum": "grpo_loss/kl_divergence_max kl_max",
    "policy/kl_unknown_unit": "kl kl_div kl_divergence kl_avg kl_mean kl_ref kl_loss mean_kl kl_to_reference",
    "policy/kl_coefficient": "objective/kl_coef actor/kl_coef actor/reward_kl_penalty_coeff critic/kl_coeff "
    "kl_ctl_value kl_coef beta",
    "policy/kl_old_to_new": "actor/ppo_kl ppo_kl optim/kl_sample_train_v1",
    "policy/approximate_kl": "policy/approxkl_avg ppo/policy/approxkl policy/approx_kl approx_kl approxkl "
    "optim/kl_sample_train_v2",
    "policy/entropy": "policy/entropy_avg ppo/policy/entropy actor/entropy actor/entropy_loss entropy_loss entropy "
    "approx_entropy entropy/all/mean entropy/mean optim/entropy policy_entropy entropy_mean",
    "policy/clip_fraction": "policy/clipfrac_avg ppo/policy/clipfrac actor/pg_clipfrac ppo_clip_ratio policy/clipfrac "
    "clip_ratio clip_ratio/region_mean clipfrac clip_fraction pg_clipfrac clip_frac",
    "policy/ratio_mean": "val/ratio ppo/policy/ratio ratio_mean ratio probs_ratio mean_ratio",
    "policy/sampler_kl": "gen_kl_error mismatch_kl mismatch_kl/all/mean vllm_kl rollout_corr/kl sampling/kl",
    "policy/sampler_probability_gap": "training/rollout_probs_diff_mean sampling/sampling_logp_difference/mean",
    "policy/sampler_probability_factor": "token_mult_prob_error",
    "policy/log_odds_ratio": "log_odds_chosen",  # TRL's log_odds_ratio is the log-sigmoid of it
    "reward/score": "objective/scores ppo/mean_scores critic/score/mean reward avg_reward average_reward_score "
    "rollout_scores/mean reward/mean reward/all/mean env/all/reward/total env/reward_mean rewards_avg mean_reward "
    "reward_mean average_reward avg_score reward_score score mean_score success_rate episode_reward",
    "reward/shaped": "objective/rlhf_reward critic/rewards/mean return",
    "reward/deviation": "reward_std adv_std advantage_std reward/std rewards_std group_reward_std",
    "reward/zero_variance_share": "frac_reward_zero_std zero_var_ratio zero_std_ratio zero_variance_ratio",
    "policy/chosen_logp": "logps/chosen chosen_logps logps_chosen policy_chosen_logps",
    "policy/rejected_logp": "logps/rejected rejected_logps logps_rejected policy_rejected_logps",
    "reward/chosen": "rewards/chosen chosen_reward rewards_chosen_mean chosen_rewards reward_chosen",
    "reward/rejected": "rewards/rejected rejected_reward reject_reward rewards_rejected_mean rejected_rewards "
    "reward_rejected",
    "reward/margin": "rewards/margins margin reward_margin margins rewards/margin",
    "reward/accuracy": "rewards/accuracies accuracy acc acc_mean rewards/accuracy train_acc train_accuracy reward_acc",
    "value/explained_variance": "ppo/val/var_explained critic/vf_explained_var explained_variance explained_var",
    "value/clip_fraction": "val/clipfrac_avg ppo/val/clipfrac critic/vf_clipfrac",
    "rollout/length_tokens": "completions/mean_length completion_length response_length/mean response_length "
    "tokens/responses_len_mean mean_gen_tokens_per_sample gen_len seq_len/all/mean mean_length response_len "
    "mean_response_length env/all/ac_tokens_per_turn",
    "rollout/length_maximum": "completions/max_length response_length/max",
    "rollout/length_minimum": "completions/min_length response_length/min",
    "rollout/stop_count": "val/num_eos_tokens",
    "rollout/repetition": "repetition repetition_rate",
    "rollout/distinct_responses": "distinct_responses distinct_share unique_responses",
    "optim/grad_norm": "grad_norm actor/grad_norm actor_grad_norm optim/grad_norm gradient_norm gradnorm",
    "optim/value_grad_norm": "critic/grad_norm critic_grad_norm",
    "optim/learning_rate": "learning_rate lr actor/lr optim/lr actor_lr ppo/learning_rate learning_rate_group_0",
    "data/epoch": "epoch training/epoch progress/epoch train/epoch",
    "eval/loss": "eval_loss eval/loss validation_loss val_loss valid_loss",
    "eval/accuracy": "eval_rewards/accuracies eval_accuracy eval_acc eval/accuracy val_acc val_accuracy "
    "val_accuracies_avg eval_acc_mean",
    "eval/margin": "eval_rewards/margins eval_margin",
    "eval/chosen": "eval_rewards/chosen eval_chosen_score eval_chosen_reward",
    "eval/rejected": "eval_rewards/rejected eval_rejected_reward",
    "reward/validation": "val_reward eval_reward val/reward eval/reward validation_reward eval/reward_mean",
    "advantage/mean": "critic/advantages/mean advantages/mean mean_advantage",
}

_CONVERTED: dict[str, Name] = {
    "completions/clipped_ratio": Name("rollout/stop_rate", _one_minus),
    "response_length/clip_ratio": Name("rollout/stop_rate", _one_minus),
    "truncation_rate": Name("rollout/stop_rate", _one_minus),
    "is_truncated/all/mean": Name("rollout/stop_rate", _one_minus),
    "clipped_ratio": Name("rollout/stop_rate", _one_minus),
    "truncated_ratio": Name("rollout/stop_rate", _one_minus),
    "natural_termination_rate": Name("rollout/stop_rate"),
    "eos_rate": Name("rollout/stop_rate"),
    "policy/sqrt_kl": Name("policy/kl_to_reference", np.square),
    "percentage": Name("run/progress", _percent),
    "progress/done_frac": Name("run/progress"),
}

_BOUND: dict[str, dict[str, str]] = {
    "trl": {"kl": "policy/kl_per_token"},
    "ms-swift": {"kl": "policy/kl_per_token"},
    "openrlhf": {"kl": "policy/kl_per_token"},
}
"""Names whose unit the framework settles."""

UNKNOWN: dict[str, str] = {
    "objective/entropy": "a sum over the response, and padded positions count as log-probability +1 once answers end "
    "early; policy/entropy_avg is the entropy",
    "policy/kl_per_token": "trlX logs the square root of the mean over tokens; policy/sqrt_kl is used",
}
"""Names that cannot be made into a signal, with the reason; the second only where trlX wrote the log."""

_NAMES: dict[str, Name] = {
    **{raw: Name(signal) for signal, names in _ANY.items() for raw in names.split()},
    **_CONVERTED,
}

_PLACES = {raw: place for place, raw in enumerate(_NAMES)}

STEP_NAMES = (
    "step", "global_step", "train/global_step", "trainer/global_step", "training/global_step", "current_steps",
    "progress/step", "_step", "iter", "iteration", "steps", "update", "episode",
)  # fmt: skip
"""Names of the step, the best first."""

TOTAL_NAMES = ("total_steps", "max_steps")

_PARTS_NOT_REWARDS = {"chosen", "rejected", "margins", "accuracies", "margin", "accuracy", "mean", "std", "all"}


def tidy(raw: str) -> str:
    """A name without the split, the run and the case: `my-run - train/Reward` is `reward`."""
    name = raw.strip().lower()
    name = name.rsplit(" - ", 1)[-1] if " - " in name else name
    return name.removeprefix("train/").replace(" ", "_")


def translate(raw: str, framework: str) -> Name | None:
    """The signal of a logged name; None for what is no signal."""
    name = tidy(raw)
    if framework == "boresight":
        return Name(raw) if known(raw) else None
    if reason_unknown(raw, framework):
        return None
    bound = _BOUND.get(framework, {}).get(name)
    if bound:
        return Name(bound)
    if framework == "trlx" and name == "reward/mean":
        return Name("reward/validation")
    if name in _NAMES:
        return _NAMES[name]
    if known(name) and not name.startswith(COMPONENT):
        return Name(name)
    if name.startswith("eval/") and f"eval_{name[5:]}" in _NAMES:
        return _NAMES[f"eval_{name[5:]}"]
    return _validation(name) or _component(name)


def reason_unknown(raw: str, framework: str) -> str | None:
    """Why a name that looks like a signal is none."""
    name = tidy(raw)
    if name == "policy/kl_per_token" and framework != "trlx":
        return None
    return UNKNOWN.get(name)


def is_metric(name: str) -> bool:
    """Whether a name is one that the table has, for telling metrics in prose."""
    name = tidy(name)
    return name in _NAMES or name in STEP_NAMES or name in TOTAL_NAMES or name in UNKNOWN


def _validation(name: str) -> Name | None:
    if re.match(
        r"(?:val|eval|val-core|validation|test)(?:[/_-].*)?/(?:test_score|score|reward|accuracy|acc)(?:[/@_].*)?$", name
    ):
        return Name("reward/validation")
    return None


def _component(name: str) -> Name | None:
    """Parts of a reward: `rewards/format/mean`, `rewards/format`, `reward/correct`; not their deviations."""
    found = re.fullmatch(r"(?:rewards?|env/all/reward)/(?P<part>.+?)(?:/mean)?", name)
    if not found or found["part"] in _PARTS_NOT_REWARDS or re.search(r"/(?:std|min|max|median)$|minus|_std$", name):
        return None
    return Name(COMPONENT + found["part"])


def preference(raw: str) -> int:
    """Place of a name in the table: of two names for one signal the earlier is taken."""
    return _PLACES.get(tidy(raw), len(_PLACES))
