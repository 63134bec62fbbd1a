"""The exhibits: what is done wrong in each, what the doctor should call it, and the run with its healthy twin.

A twin differs in the one thing that is wrong.
"""

import copy
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.museum import worlds
from experiments.museum.sabotage import MovingReference, WithoutTemperature
from experiments.museum.training import policy_gradient, preferences, scorer
from experiments.museum.workshop import PROMPTS as KNOWN
from experiments.museum.workshop import Workshop, uncovered
from experiments.museum.worlds import CLAIMS, TOPICS, World
from transformers import PreTrainedModel

from boresight.models.heads import ScalarHeadModel
from boresight.models.roles import FrozenPolicy, Policy, ValueModel
from boresight.training.run import Run

Train = Callable[[Workshop, Run, bool], object]
"""Trains in the run's folder; True for the failing run, False for its twin."""

SIGNALS = ("reward/score", "policy/kl_to_reference", "policy/entropy", "policy/clip_fraction")


class Exhibit(NamedTuple):
    name: str
    title: str
    wrong: str
    """What is done, and what the twin does instead."""
    findings: tuple[str, ...]
    """What is right as the first finding: the fault itself, then what it brings about and is as true."""
    train: Train
    kind: str = "ppo"
    curves: tuple[str, ...] = SIGNALS
    world: World = TOPICS
    twin: str = ""
    """Exhibit whose twin is the same run, so that it is trained once; by default its own."""
    fine: bool = False
    """What it shows is no failure: the finding is a note, and an alarm would be a false one."""


GENTLE: dict[str, Any] = {"kind": "rloo", "prompts_per_step": 8, "learning_rate": 2e-4, "kl_coefficient": 0.1}


def reward_hacking(shop: Workshop, run: Run, fails: bool) -> object:
    return policy_gradient(shop, run, with_canary=True, steps=60, kl_coefficient=0.0 if fails else 0.3)


def length_bias(shop: Workshop, run: Run, fails: bool) -> object:
    judge = "length_on_padded" if fails else "fair_on_padded"
    return policy_gradient(shop, run, judge=judge, missing_stop_penalty=None)


def sycophancy(shop: Workshop, run: Run, fails: bool) -> object:
    if fails:
        return policy_gradient(shop, run, judge="likes_agreement", **GENTLE)
    policy, anchor = _both(shop, shop.sycophant)
    return policy_gradient(shop, run, policy=policy, anchor=anchor, **GENTLE)


def over_trained_scorer(shop: Workshop, run: Run, fails: bool) -> object:
    pairs = shop.pairs("fair_on_padded")
    known, epochs = (pairs[:300], 20) if fails else (pairs[:1500], 1)
    return scorer(shop, run, known, pairs[1500:], epochs=epochs, evaluate_every=20 if fails else 6)


def both_fall(shop: Workshop, run: Run, fails: bool) -> object:
    return preferences(shop, run, shop.pairs("honest")[:1200], sft_coefficient=0.0 if fails else 1.0)


def small_batch(shop: Workshop, run: Run, fails: bool) -> object:
    pairs = shop.pairs("honest")
    return preferences(shop, run, pairs[:160] if fails else pairs, epochs=1, batch_size=2 if fails else 32)


def reference_drift(shop: Workshop, run: Run, fails: bool) -> object:
    policy = shop.policy()
    return policy_gradient(shop, run, policy=policy, anchor=MovingReference(policy) if fails else None)


def skipped_sft(shop: Workshop, run: Run, fails: bool) -> object:
    policy, anchor = _both(shop, worlds.fresh_model(shop.seed)) if fails else (None, None)
    return policy_gradient(shop, run, policy=policy, anchor=anchor)


def foreign_prompts(shop: Workshop, run: Run, fails: bool) -> object:
    draw = random.Random(run.seed)
    asked = worlds.foreign_prompts(KNOWN, draw) if fails else shop.world.prompts(KNOWN, draw)
    return policy_gradient(shop, run, prompts=uncovered(shop, asked))


def collapse(shop: Workshop, run: Run, fails: bool) -> object:
    hasty: dict[str, Any] = {"kl_coefficient": 0.0, "learning_rate": 3e-3, "schedule": "constant"}
    return policy_gradient(shop, run, **(hasty if fails else {}))


def saturated_clipping(shop: Workshop, run: Run, fails: bool) -> object:
    rate = 8e-3 if fails else 3e-4
    return policy_gradient(shop, run, ppo_epochs=4, learning_rate=rate, steps=20, schedule="constant")


def sampling_mismatch(shop: Workshop, run: Run, fails: bool) -> object:
    policy = WithoutTemperature(copy.deepcopy(shop.sft), worlds.TOKENIZER, worlds.CHAT) if fails else None
    # Under another name the reference is not held to be the start, or the loop would refuse the first step.
    return policy_gradient(
        shop, run, policy=policy, temperature=0.4, kl_coefficient=0.4, learning_rate=2e-4, reference="a copy"
    )


def missing_stop(shop: Workshop, run: Run, fails: bool) -> object:
    policy, anchor = _both(shop, shop.without_stop) if fails else (None, None)
    return policy_gradient(shop, run, policy=policy, anchor=anchor)


def idle_value_model(shop: Workshop, run: Run, fails: bool) -> object:
    if not fails:
        return policy_gradient(shop, run)
    model = ScalarHeadModel.from_language_model(shop.policy().model)
    model.head.weight.data.normal_(0.0, 0.3, generator=run.generator("value head"))
    return policy_gradient(shop, run, value=ValueModel(model), value_learning_rate=1e-7)


def high_rate(shop: Workshop, run: Run, fails: bool) -> object:
    return preferences(shop, run, shop.pairs("honest")[:1200], learning_rate=3e-2 if fails else 5e-4)


def _both(shop: Workshop, start: PreTrainedModel) -> tuple[Policy, FrozenPolicy]:
    """A policy and its reference from one model that is not the fine-tuned one."""
    return shop.policy(copy.deepcopy(start)), shop.reference(start)


REWARDS = ("reward/chosen", "reward/rejected", "reward/margin", "loss/total")
HEALTHY = "entropy_collapse"
"""The exhibit whose twin is PPO as it should be; others of the same settings show the same runs."""

EXHIBITS: tuple[Exhibit, ...] = (
    Exhibit(
        "reward_hacking", "Reward hacking",
        "The KL coefficient is 0; the twin's is 0.3. A second reward model, trained on the other half of the pairs, is "
        "the canary of both.",
        ("reward_hacking", "kl_runaway"), reward_hacking,
        curves=("reward/score", "reward/canary_score", "policy/kl_to_reference", "policy/entropy"),
    ),
    Exhibit(
        "length_bias", "Length bias",
        "The judge of the pairs likes long answers; the twin's reward model learned from the same pairs, labelled by "
        "what is meant.",
        ("length_explosion", "reward_hacking"), length_bias,
        curves=("reward/score", "rollout/length_tokens", "policy/kl_to_reference", "rollout/stop_rate"),
    ),
    Exhibit(
        "sycophancy", "Sycophancy, and its repair",
        "Half of the prompts state something false, and the judge of the pairs likes to be agreed with. The twin "
        "is the repair: it starts from a policy that has become sycophantic, and its reward model learned from "
        "corrected labels.",
        ("sycophancy", "reward_hacking"), sycophancy, kind="rloo", world=CLAIMS,
        curves=("reward/score", "policy/kl_to_reference", "policy/entropy", "rollout/distinct_responses"),
    ),
    Exhibit(
        "over_trained_scorer", "An over-trained reward model",
        "Twenty epochs over 300 pairs; the twin sees 1,500 pairs once.",
        ("rm_overfit",), over_trained_scorer, kind="reward_model",
        curves=("loss/total", "eval/accuracy", "eval/nll", "eval/ece"),
    ),
    Exhibit(
        "both_fall", "DPO: both rewards fall",
        "Nothing is wrong: chosen and rejected responses both become less likely, and the margin widens. The twin "
        "holds the chosen one up by its likelihood (sft_coefficient 1).",
        ("dpo_both_falling_ok",), both_fall, kind="dpo", curves=REWARDS, fine=True,
    ),
    Exhibit(
        "small_batch", "A batch that is too small",
        "Two pairs an update; the twin takes 32.",
        ("batch_too_small",), small_batch, kind="dpo",
        curves=("loss/total", "reward/accuracy", "reward/margin", "optim/grad_norm"),
    ),
    Exhibit(
        "reference_drift", "A reference that moves",
        "The reference is the policy itself, behind a cache that hides it from the loop's own check.",
        ("reference_moves",), reference_drift, twin=HEALTHY,
        curves=("reward/score", "policy/kl_to_reference", "policy/approximate_kl", "policy/entropy"),
    ),
    Exhibit(
        "skipped_sft", "Fine-tuning left out",
        "Policy and reference are a model with random weights; the twin's were fine-tuned.",
        ("policy_not_finetuned",), skipped_sft, twin=HEALTHY,
        curves=("reward/score", "policy/entropy", "rollout/stop_rate", "rollout/length_tokens"),
    ),
    Exhibit(
        "foreign_prompts", "Prompts that the reward model never saw",
        "Prompts of signs that stand in no pair; the twin's are drawn like those of the pairs.",
        ("uncovered_prompts",), foreign_prompts,
        curves=("reward/score", "rollout/uncovered_prompts", "policy/kl_to_reference", "value/explained_variance"),
    ),
    Exhibit(
        "entropy_collapse", "Entropy collapse",
        "Six times the learning rate, which never falls, and no KL penalty.",
        ("entropy_collapse", "kl_runaway", "reward_hacking", "identical_outputs"), collapse,
    ),
    Exhibit(
        "saturated_clipping", "Saturated clipping",
        "A learning rate of 8e-3 at four passes over each batch; the twin's is 3e-4.",
        ("clipfrac_saturated", "lr_too_high", "kl_runaway"), saturated_clipping,
        curves=("policy/clip_fraction", "policy/approximate_kl", "reward/score", "policy/kl_to_reference"),
    ),
    Exhibit(
        "sampling_mismatch", "Log-probabilities without the temperature",
        "Responses are drawn at temperature 0.4, and the policy's log-probabilities are those of temperature 1.",
        ("kl_negative", "logprob_mismatch"), sampling_mismatch,
        curves=("policy/kl_to_reference", "policy/sampler_kl", "reward/score", "policy/entropy"),
    ),
    Exhibit(
        "missing_stop", "Answers that never end",
        "Fine-tuned with the stop token masked out of the loss, as where it equals the padding token.",
        ("missing_eos",), missing_stop, twin=HEALTHY,
        curves=("rollout/stop_rate", "rollout/length_tokens", "reward/score", "value/explained_variance"),
    ),
    Exhibit(
        "idle_value_model", "A value model that does not learn",
        "Its head is drawn at random and its learning rate is 1e-7; the twin's starts from the reward model.",
        ("value_not_learning",), idle_value_model, twin=HEALTHY,
        curves=("value/explained_variance", "loss/value", "reward/score", "policy/kl_to_reference"),
    ),
    Exhibit(
        "high_rate", "A learning rate that is too high",
        "DPO at 3e-2; the twin's rate is 5e-4.",
        ("lr_too_high",), high_rate, kind="dpo", curves=REWARDS,
    ),
)  # fmt: skip
