"""Which framework wrote a log and which method it ran, told by the names in it."""

from collections.abc import Iterable

from boresight.diagnosis.readers.names import tidy

MARKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("llama-factory", ("current_steps",)),
    ("trlx", ("policy/sqrt_kl", "rollout_scores/mean", "losses/value_loss", "kl_ctl_value")),
    ("verl", ("actor/pg_loss", "actor/pg_clipfrac", "actor/ppo_kl", "critic/score/mean", "actor/kl_loss")),
    ("nemo-rl", ("gen_kl_error", "token_mult_prob_error", "mean_gen_tokens_per_sample")),
    ("prime-rl", ("mismatch_kl", "mismatch_kl/all/mean")),
    ("openrlhf", ("actor_grad_norm", "vllm_kl", "ppo_clip_ratio", "reject_reward")),
    ("deepspeed-chat", ("act_loss", "cri_loss", "average_reward_score")),
    ("tinker", ("progress/done_frac", "env/all/reward/total", "optim/kl_sample_train_v1")),
    ("ms-swift", ("memory(gib)", "global_step/max_steps", "train_speed(iter/s)")),
    ("torchforge", ("grpo_loss/kl_divergence_mean", "grpo_loss/total_loss")),
    ("trl", ("objective/kl", "objective/scores", "ppo/mean_scores", "policy/approxkl_avg", "rewards/margins",
             "completions/mean_length", "completion_length", "frac_reward_zero_std", "rewards/chosen",
             "reward_std", "log_odds_ratio")),
)  # fmt: skip
"""Names that only one framework writes; the first framework that matches is it."""

_VALUE = {
    "loss/value_avg", "ppo/loss/value", "critic/vf_loss", "critic/vf_explained_var", "cri_loss", "critic_loss",
    "losses/value_loss", "value_loss", "vf_loss", "value/explained_variance", "loss/value", "explained_variance",
    "policy/approxkl_avg", "ppo/mean_scores",
}  # fmt: skip
_GROUPS = {
    "reward_std", "frac_reward_zero_std", "completions/mean_length", "completion_length", "adv_std", "zero_var_ratio",
    "grpo_loss/total_loss", "grpo_loss", "group_reward_std", "rewards_avg",
}  # fmt: skip
_POLICY = {
    "actor/pg_loss", "critic/score/mean", "reward/mean", "env/all/reward/total", "objective/scores", "success_rate",
    "act_loss", "avg_reward", "average_reward_score", "policy_loss", "episode_reward", "reward/score", "reward",
    "gen_kl_error", "mismatch_kl", "actor/kl_loss", "reward/all/mean", "average_reward", "ppo_kl",
}  # fmt: skip
_ODDS = {"log_odds_ratio", "odds_ratio_loss", "policy/log_odds_ratio", "log_odds_chosen"}
_PAIRS = {"logps/chosen", "logps/rejected", "rewards/margins", "dpo_loss", "policy/chosen_logp_mean", "reward/margin"}
_SCORES = {"mean_reward", "min_reward", "max_reward", "eval_chosen_score", "chosen_last_scores", "eval_acc", "accuracy",
           "acc_mean", "acc", "eval_accuracy", "center_rewards_loss"}  # fmt: skip


def framework_of(names: Iterable[str], hint: str = "") -> str:
    """The framework whose marks are there; the form's hint otherwise, or `unknown`."""
    tidied = {tidy(name) for name in names}
    found = next((framework for framework, marks in MARKS if tidied & set(marks)), "")
    if not found and ({"grad_norm", "learning_rate"} <= tidied or {"eval_loss", "eval_runtime"} <= tidied):
        found = "transformers"
    return hint if hint and found in ("", "transformers", "trl") else found or "unknown"


def method_of(names: Iterable[str]) -> str:
    """The method, by what only it logs: a value model, groups, pairs; `sft` where there is only a loss."""
    tidied = {tidy(name) for name in names}
    pairs = tidied & (_PAIRS | {"rewards/chosen", "chosen_reward", "eval_rewards/chosen", "reward/chosen"})
    if tidied & _ODDS:
        return "orpo"
    if tidied & _VALUE:
        return "ppo"
    if tidied & _GROUPS:
        return "grpo"
    if tidied & {"critic/score/mean", "actor/pg_loss", "actor/kl_loss"} or "grpo" in " ".join(tidied):
        return "grpo"
    if pairs:
        return "dpo"
    if tidied & _SCORES and not tidied & {"reward"}:
        return "rm"
    if tidied & _POLICY:
        # LLaMA-Factory writes one reward and one loss for its PPO, and no value loss.
        return "ppo" if "current_steps" in tidied else "policy_gradient"
    return "sft" if any("loss" in name for name in tidied) else "unknown"
