"""The runs of the museum: our own loops, with what an exhibit changes, and the gold reward written beside the log."""

import copy
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from experiments.museum import worlds
from experiments.museum.workshop import Workshop
from torch import Tensor

from boresight.config.sections import DPOStage, PPOStage, RewardModelStage, RLOOStage, SFTStage
from boresight.data.tokenize import Encoded, EncodedPair
from boresight.models import hidden_states
from boresight.models.heads import ScalarHeadModel
from boresight.models.loading import scalar_head
from boresight.models.roles import FrozenPolicy, Policy, ValueModel
from boresight.records import Prompt
from boresight.storage import read_json, write_json
from boresight.training.dpo import train_dpo
from boresight.training.ppo import PPORoles, train_ppo
from boresight.training.reward_model import train_reward_model
from boresight.training.reward_scale import RewardScale, measure_reward_scale
from boresight.training.reward_sources import AnySource, scores_of
from boresight.training.rloo import RLOORoles, train_rloo
from boresight.training.rollout import Rollout
from boresight.training.run import Run
from boresight.training.sft import train_sft

hidden_states.WORTH_PACKING = 0.0  # rows of twenty tokens are faster as one plain batch; the numbers are the same

GOLD_FILE = "gold.json"
STEPS, PROMPTS = 40, 32

POLICY = {
    "policy": "sft", "reference": "sft", "reward": "scorer", "prompts": "none", "steps": STEPS,
    "prompts_per_step": PROMPTS, "minibatches": 1, "micro_batch_tokens": None, "logged_samples": 8,
    "normalization_prompts": 128, "on_finding": "note", "guard_every": 10**6, "kl_coefficient": 0.2,
    "learning_rate": 5e-4,
}  # fmt: skip
"""A policy stage that does well in both worlds; exhibits change one thing of it."""


class Witness:
    """A reward source as it is; mean and deviation of the gold reward of every whole rollout are kept beside it."""

    def __init__(self, shop: Workshop, source: AnySource, responses: int) -> None:
        self._world, self._source, self._responses = shop.world, source, responses
        self.gold: dict[str, list[float]] = {"mean": [], "deviation": []}

    def score_rollout(self, rollout: Rollout) -> Tensor:
        if len(rollout.texts) == self._responses:  # the loop's checks score parts of it again
            found = worlds.golds(self._world, rollout.prompts, rollout.texts, rollout.stopped.tolist())
            self.gold["mean"].append(fmean(found))
            self.gold["deviation"].append(pstdev(found))
        return scores_of(self._source, rollout)


def policy_gradient(
    shop: Workshop,
    run: Run,
    *,
    kind: str = "ppo",
    judge: str = "honest",
    policy: Policy | None = None,
    anchor: FrozenPolicy | None = None,
    value: ValueModel | None = None,
    prompts: Sequence[Prompt] | None = None,
    with_canary: bool = False,
    **changes: Any,
) -> Policy:
    """PPO or RLOO from the fine-tuned model, paid by the reward model of a judge; roles that are given stand in."""
    settings = {**POLICY, "kind": kind, "max_new_tokens": shop.world.longest, **changes}
    policy, reference, source = policy or shop.policy(), anchor or shop.reference(), shop.reward(judge)
    asked = shop.prompts if prompts is None else prompts
    canary = shop.reward(judge, 1) if with_canary else None
    each = settings.get("responses_per_prompt", 4 if kind == "rloo" else 1)
    witness = Witness(shop, source, each * settings["prompts_per_step"])
    if kind == "rloo":
        rloo = RLOOStage(**settings)
        scale = measure_reward_scale(rloo, reference, source, asked, run)
        train_rloo(rloo, RLOORoles(policy, reference, witness, canary), scale, asked, run)
    else:
        ppo = PPOStage(**{"ppo_epochs": 2, "value_learning_rate": 2e-3, **settings})
        scale = measure_reward_scale(ppo, reference, source, asked, run)
        value = value or value_from_reward(shop, judge, scale)
        train_ppo(ppo, PPORoles(policy, value, reference, witness, canary), scale, asked, run)
    write_json(run.folder / GOLD_FILE, witness.gold)
    return policy


def value_from_reward(shop: Workshop, judge: str, scale: RewardScale) -> ValueModel:
    body = copy.deepcopy(shop.reward(judge).model)
    model = ScalarHeadModel.from_reward_model(body, scalar_head(body), scale.mean, scale.deviation)
    model.requires_grad_(True)
    return ValueModel(model)


def preferences(shop: Workshop, run: Run, pairs: Sequence[EncodedPair], **changes: Any) -> Policy:
    """DPO from the fine-tuned model."""
    settings = {
        "kind": "dpo", "policy": "sft", "reference": "sft", "data": "none", "beta": 0.1, "epochs": 2, "batch_size": 32,
        "learning_rate": 5e-4, "micro_batch_tokens": None, **changes,
    }  # fmt: skip
    policy = shop.policy()
    train_dpo(DPOStage(**settings), policy, shop.reference(), pairs, run)
    return policy


def scorer(
    shop: Workshop, run: Run, pairs: Sequence[EncodedPair], held_out: Sequence[EncodedPair], **changes: Any
) -> None:
    """A reward model from the fine-tuned one, looked at on held-out pairs."""
    settings = {
        "kind": "reward_model", "data": "none", "batch_size": 32, "learning_rate": 1e-3, "micro_batch_tokens": None,
        **changes,
    }  # fmt: skip
    model = shop.fresh_reward_model(run.seed)
    train_reward_model(RewardModelStage(**settings), model, pairs, run, {"held_out": held_out})


def demonstrations(shop: Workshop, run: Run, rows: Sequence[Encoded], **changes: Any) -> None:
    """Supervised fine-tuning from nothing."""
    settings = {
        "kind": "sft", "data": "none", "steps": 100, "batch_size": 64, "learning_rate": 3e-3,
        "micro_batch_tokens": None, **changes,
    }  # fmt: skip
    train_sft(SFTStage(**settings), shop.policy(worlds.fresh_model(run.seed)), rows, run)


def read_gold(folder: Path) -> dict[str, list[float]]:
    """Mean and deviation of the gold reward of each step; empty where the run does not sample."""
    path = folder / GOLD_FILE
    return dict(read_json(path)) if path.exists() else {"mean": [], "deviation": []}
