"""PPO, RLOO and DPO reach the known optimum of the enumerable world through the real training loops."""

from pathlib import Path

import pytest
import torch

from boresight.config.sections import DPOStage
from boresight.data.tokenize import EncodedPair
from boresight.training.dpo import train_dpo

from . import enumerable_world as world

BOUND = 0.02  # nats; the reference itself lies at about 0.5


def test_reference_is_far_from_the_optimum() -> None:
    table, scores = world.world(0)
    start = world.policy_of(table)
    assert world.kl_to_optimum(start, world.reference_of(table), scores, world.BETA) > 10 * BOUND


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_policy_reaches_the_exact_optimum(method: world.Method, tmp_path: Path) -> None:
    """Over more seeds: experiments/exact_optimum.py."""
    assert world.distance_after(method, seed=0, folder=tmp_path) < BOUND


@pytest.mark.slow
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
        kind="dpo", policy="start", reference="start", data="none", beta=world.BETA, epochs=10, batch_size=512,
        learning_rate=0.1, max_grad_norm=100.0, checkpoint_every=10_000,
    )  # fmt: skip
    policy = world.policy_of(table)
    train_dpo(config, policy, reference, pairs, world.run_in(tmp_path))
    assert world.kl_to_optimum(policy, reference, scores, world.BETA) < BOUND
