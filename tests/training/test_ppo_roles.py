"""PPO with roles on one base: it learns, begins where its reference is, and moves what is to be trained alone."""

from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.models.adapters import OWN
from boresight.models.backbone import TrunkValue
from boresight.runlog.reader import MetricTable, read_metrics
from boresight.training.experience import RewardScale
from boresight.training.ppo import PPORoles, train_ppo
from boresight.training.sft import train_sft

from . import tiny_world as tiny
from .conftest import Imitator

LAYOUTS = ("shared", "one trunk", "one whole trunk")


@pytest.fixture(scope="session")
def imitator(tmp_path_factory: pytest.TempPathFactory) -> Imitator:
    """It answers one prompt mostly with "a" and the others hardly ever, a quarter on average. To a model that has only
    seen the four letters drawn alike they are one, and adapters, which leave embeddings alone, could not part them."""
    folder: Path = tmp_path_factory.mktemp("imitator")
    policy = tiny.policy_of(tiny.fresh_model())
    rows = tiny.conversations(256, shares=(0.8, 0.05, 0.05, 0.05))
    config = tiny.sft_config(steps=120, batch_size=32, learning_rate=1e-2)
    train_sft(config, policy, rows, tiny.run_in(folder, checkpoint_every=1000))
    return Imitator(policy.model, read_metrics(folder / "metrics.jsonl"))


def roles_of(layout: str, imitator: Imitator) -> tuple[PPORoles, dict[str, Any]]:
    """The roles, and what a config says of them."""
    if layout == "shared":
        return tiny.shared_roles(imitator.model), {"roles": "shared", "lora": tiny.LORA}
    adapted = layout == "one trunk"
    lora = {"lora": tiny.LORA} if adapted else {}
    return tiny.trunk_roles(imitator.model, adapted), {"roles": "one_trunk", **lora}


def train(of: PPORoles, folder: Path, **settings: Any) -> MetricTable:
    run = tiny.run_in(folder, checkpoint_every=1000)
    train_ppo(tiny.ppo_config(**settings), of, RewardScale(0.0, 1.0), tiny.PROMPTS, run)
    return read_metrics(folder / "metrics.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_reward_of_an_easy_rule_rises_while_everything_frozen_stays(
    layout: str, imitator: Imitator, tmp_path: Path
) -> None:
    roles, settings = roles_of(layout, imitator)
    before = roles.reference.fingerprint()
    table = train(roles, tmp_path, steps=15, prompts_per_step=64, kl_coefficient=0.01, learning_rate=3e-3, **settings)
    scores = [value for _, value in table.series("reward/score")]
    assert scores[0] == pytest.approx(0.25, abs=0.08)
    assert sum(scores[-3:]) / 3 > 0.85
    assert table.last("policy/kl_to_reference") > 1.0
    assert roles.reference.fingerprint() == before == tiny.reference_of(imitator.model).fingerprint()
    if isinstance(roles.value, TrunkValue):
        assert bool(roles.value.trained.weight.any())  # which began at zero


@pytest.mark.parametrize("layout", LAYOUTS)
def test_first_minibatch_has_ratio_one_and_no_distance_to_the_reference(
    layout: str, imitator: Imitator, tmp_path: Path
) -> None:
    roles, settings = roles_of(layout, imitator)
    table = train(roles, tmp_path, steps=1, minibatches=1, ppo_epochs=1, **settings)
    assert table.last("policy/kl_to_reference") == 0.0
    assert table.last("policy/ratio_mean") == pytest.approx(1.0, abs=1e-5)
    assert table.last("policy/clip_fraction") == 0.0


def test_policy_rests_while_the_value_adapter_beside_it_warms_up(imitator: Imitator, tmp_path: Path) -> None:
    roles, settings = roles_of("shared", imitator)
    assert roles.policy.adapter is not None
    table = train(roles, tmp_path, steps=2, value_warmup_steps=2, value_learning_rate=1e-2, **settings)
    assert roles.policy.adapter.is_nothing(OWN) and not roles.policy.adapter.is_nothing("value")
    assert table.series("optim/grad_norm") == []
    assert roles.reference.fingerprint() == tiny.reference_of(imitator.model).fingerprint()


def test_one_trunk_learns_from_both_losses_in_the_proportion_asked_for(imitator: Imitator, tmp_path: Path) -> None:
    """At the first step of the first batch the policy's loss pulls, and the value head alone pulls with the value's
    (its weights are zero, so nothing reaches the trunk): its gradient grows with the coefficient, the trunk's not."""
    moments = {}
    for coefficient in (0.1, 0.4):
        roles, settings = roles_of("one trunk", imitator)
        folder = tmp_path / str(coefficient)
        run = tiny.run_in(folder)
        config = tiny.ppo_config(
            steps=1, minibatches=1, ppo_epochs=1, max_grad_norm=1e6, value_coefficient=coefficient, **settings
        )
        train_ppo(config, roles, RewardScale(0.0, 1.0), tiny.PROMPTS, run)
        saved = torch.load(folder / "checkpoint.pt", weights_only=True)
        assert set(saved["parts"]) == {"policy", "value", "policy_updater", "kl_coefficient", "guard"}
        state = saved["parts"]["policy_updater"]["optimizer"]["state"]
        by_shape = {tuple(entry["exp_avg"].shape): entry["exp_avg"] for entry in state.values()}
        moments[coefficient] = by_shape[(1, tiny.fresh_model().config.hidden_size)], state[0]["exp_avg"]
    torch.testing.assert_close(moments[0.4][0], 4 * moments[0.1][0], rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(moments[0.4][1], moments[0.1][1], rtol=1e-4, atol=1e-9)
