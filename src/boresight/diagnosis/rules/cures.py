"""Which change of settings a finding prescribes, for those that can be tried: what `diagnose --verify` tests.

A cure that needs other data, other code or a judgement (fine-tune first, correct the labels, write better prompts) is
no change of a setting; such findings have none here, and `WHY_NOT` says what they want instead.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Settings = Mapping[str, Any]


class Cure(NamedTuple):
    """`change` gives new values for some of a stage's settings; `shows` is the signal on which a cure is to be seen."""

    words: str
    change: Callable[[Settings], dict[str, Any]]
    shows: str


def _more_kl(settings: Settings) -> dict[str, Any]:
    return {"kl_coefficient": max(4 * settings["kl_coefficient"], 0.2)}


def _smaller_steps(settings: Settings) -> dict[str, Any]:
    return {"learning_rate": settings["learning_rate"] / 10, "warmup_fraction": max(settings["warmup_fraction"], 0.1)}


def _fewer_passes(settings: Settings) -> dict[str, Any]:
    passes = {name: 1 for name in ("ppo_epochs", "rloo_epochs") if settings.get(name, 1) > 1}
    return passes | {"learning_rate": settings["learning_rate"] / 10}


def _gentler(settings: Settings) -> dict[str, Any]:
    entropy = {"entropy_coefficient": max(settings["entropy_coefficient"], 0.01)} if settings["kind"] == "ppo" else {}
    return _more_kl(settings) | entropy | {"learning_rate": settings["learning_rate"] / 5}


def _better_value(settings: Settings) -> dict[str, Any]:
    rate = settings["value_learning_rate"] or settings["learning_rate"]
    return {"value_learning_rate": max(10 * rate, 1e-4), "value_warmup_steps": max(settings["value_warmup_steps"], 2)}


def _larger_batch(settings: Settings) -> dict[str, Any]:
    return {"batch_size": max(32, 8 * settings["batch_size"])}


def _bolder(settings: Settings) -> dict[str, Any]:
    return {"learning_rate": 3 * settings["learning_rate"]}


def _fewer_epochs(settings: Settings) -> dict[str, Any]:
    smoothing = {"label_smoothing": max(settings["label_smoothing"], 0.1)} if settings["loss"] == "sigmoid" else {}
    return {"learning_rate": settings["learning_rate"] / 3, **smoothing}


CURES: Mapping[str, Cure] = {
    "kl_runaway": Cure("a KL coefficient four times as large, 0.2 at least", _more_kl, "policy/kl_to_reference"),
    "reward_hacking": Cure("a KL coefficient four times as large, 0.2 at least", _more_kl, "policy/kl_to_reference"),
    "length_explosion": Cure(
        "a KL coefficient four times as large, 0.2 at least", _more_kl, "rollout/length_tokens"
    ),
    "identical_outputs": Cure(
        "a KL coefficient four times as large, a fifth of the learning rate, and for PPO an entropy bonus", _gentler,
        "rollout/distinct_responses",
    ),
    "entropy_collapse": Cure(
        "a KL coefficient four times as large, a fifth of the learning rate, and for PPO an entropy bonus", _gentler,
        "policy/entropy",
    ),
    "clipfrac_saturated": Cure(
        "a tenth of the learning rate and one pass over each rollout", _fewer_passes, "policy/clip_fraction"
    ),
    "lr_too_high": Cure("a tenth of the learning rate, with a warm-up over a tenth of the steps", _smaller_steps, ""),
    "value_not_learning": Cure(
        "ten times the value model's learning rate, and two steps in which it learns alone", _better_value,
        "value/explained_variance",
    ),
    "batch_too_small": Cure("a batch eight times as large, 32 at least", _larger_batch, "loss/total"),
    "dpo_margin_overfit": Cure(
        "a third of the learning rate, and labels smoothed by 0.1", _fewer_epochs, "reward/margin"
    ),
    "no_learning": Cure("three times the learning rate", _bolder, ""),
}  # fmt: skip
"""By finding; `shows` is empty where it depends on the method: the reward, or the loss."""

WHY_NOT: Mapping[str, str] = {
    "missing_eos": "demonstrations whose stop token counts in the loss, so another fine-tuning stage",
    "policy_not_finetuned": "a policy that was fine-tuned first",
    "reference_moves": "a reference that is a model of its own, which is a matter of code",
    "reference_mismatch": "the reference that training starts from",
    "logprob_mismatch": "log-probabilities that are taken the same way on both sides, which is a matter of code",
    "kl_negative": "log-probabilities at the sampling temperature, which is a matter of code",
    "sycophancy": "corrected preference pairs and another reward model",
    "kind_left_behind": "more prompts and pairs of this kind",
    "uncovered_prompts": "other prompts, or pairs on these",
    "zero_variance_groups": "other prompts, or a reward that tells answers apart",
    "dpo_margin_negative": "chosen and rejected in their order on the way to the loss, or in both files of pairs",
    "rm_at_chance": "better pairs, or another start",
    "nan_inf": "a look at the batch of that step; a stage of boresight stops before it",
}
"""What findings without a cure that is a setting want instead."""


def shown_signal(cure: Cure, kind: str) -> str:
    """The signal by which a cure is seen to work in a stage of that kind."""
    return cure.shows or ("reward/score" if kind in ("ppo", "rloo") else "loss/total")
