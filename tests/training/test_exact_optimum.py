"""PPO, RLOO and DPO reach the known optimum of the enumerable world through the real training loops."""

from pathlib import Path

import torch

from boresight.config.sections import DPOStage, PPOStage, RLOOStage
from boresight.data.tokenize import EncodedPair
from boresight.models.roles import ValueModel
from boresight.training.dpo import train_dpo
from boresight.training.experience import RewardScale
from boresight.training.ppo import PPORoles, train_ppo
from boresight.training.rloo import RLOORoles, train_rloo
from boresight.training.run import Run

from . import enumerable_world as world

BETA = 1.0
BOUND = 0.02  # nats; the reference itself lies at about 0.5
COMMON = {
    "policy": "start",
    "reference": "start",
    "reward": "table",
    "prompts": "none",
    "max_new_tokens": world.LENGTH,
    "kl_coefficient": BETA,
    "missing_stop_penalty": None,
    "checkpoint_every": 10_000,
}


def run_in(folder: Path, seed: int = 0) -> Run:
    return Run(folder, title="enumerable", key="k", seed=seed, checkpoint_every=10_000)


def test_reference_is_far_from_the_optimum() -> None:
    table, scores = world.world(0)
    start = world.policy_of(table)
    assert world.kl_to_optimum(start, world.reference_of(table), scores, BETA) > 10 * BOUND


def test_ppo_reaches_the_exact_optimum(tmp_path: Path) -> None:
    table, scores = world.world(0)
    config = PPOStage(
        kind="ppo", steps=60, prompts_per_step=1024, minibatches=4, ppo_epochs=2, learning_rate=0.05,
        value_learning_rate=0.1, gae_lambda=1.0, value_clip_range=10.0, max_grad_norm=100.0, **COMMON,
    )  # fmt: skip
    roles = PPORoles(
        world.policy_of(table), ValueModel(world.TabularValue()), world.reference_of(table), world.TableReward(scores)
    )
    train_ppo(config, roles, RewardScale(0.0, 1.0), [world.PROMPT], run_in(tmp_path))
    assert world.kl_to_optimum(roles.policy, roles.reference, scores, BETA) < BOUND


def test_rloo_reaches_the_exact_optimum(tmp_path: Path) -> None:
    table, scores = world.world(0)
    config = RLOOStage(
        kind="rloo", steps=60, prompts_per_step=1, responses_per_prompt=1024, minibatches=4, rloo_epochs=2,
        learning_rate=0.05, max_grad_norm=100.0, **COMMON,
    )  # fmt: skip
    roles = RLOORoles(world.policy_of(table), world.reference_of(table), world.TableReward(scores))
    train_rloo(config, roles, RewardScale(0.0, 1.0), [world.PROMPT], run_in(tmp_path))
    assert world.kl_to_optimum(roles.policy, roles.reference, scores, BETA) < BOUND


def test_dpo_reaches_the_exact_optimum(tmp_path: Path) -> None:
    table, scores = world.world(0)
    generator = torch.Generator().manual_seed(1)
    reference = world.reference_of(table)
    # Every response stands beside several others, labelled with the true preference probability.
    pairs = []
    for i in range(len(world.RESPONSES)):
        for j in torch.randint(len(world.RESPONSES), (6,), generator=generator).tolist():
            p = float(torch.sigmoid(scores[i] - scores[j]))
            chosen, rejected = world.RESPONSE_IDS[i], world.RESPONSE_IDS[j]
            pairs.append(EncodedPair(world.PROMPT_IDS, chosen, rejected, id=f"{i}-{j}", p_chosen=p))
    config = DPOStage(
        kind="dpo", policy="start", reference="start", data="none", beta=BETA, epochs=10, batch_size=512,
        learning_rate=0.1, max_grad_norm=100.0, checkpoint_every=10_000,
    )  # fmt: skip
    policy = world.policy_of(table)
    train_dpo(config, policy, reference, pairs, run_in(tmp_path))
    assert world.kl_to_optimum(policy, reference, scores, BETA) < BOUND
