from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.errors import TrainingError
from boresight.models.response_logps import ResponseLogps
from boresight.models.roles import Policy
from boresight.runlog.reader import MetricTable, read_metrics
from boresight.training.experience import RewardScale
from boresight.training.ppo import PPORoles, train_ppo

from . import tiny_world as tiny
from .conftest import Imitator


def train(
    folder: Path, imitator: Imitator, policy: Policy | None = None, **changes: Any
) -> tuple[PPORoles, MetricTable]:
    roles = PPORoles(
        policy or tiny.policy_of(imitator.model), tiny.value_of(imitator.model), tiny.reference_of(imitator.model),
        tiny.LetterShare(),
    )  # fmt: skip
    run = tiny.run_in(folder, checkpoint_every=1000)
    train_ppo(tiny.ppo_config(**changes), roles, RewardScale(0.0, 1.0), tiny.PROMPTS, run)
    return roles, read_metrics(folder / "metrics.jsonl")


def test_reward_of_an_easy_rule_rises_while_the_reference_stays(imitator: Imitator, tmp_path: Path) -> None:
    fingerprint = tiny.reference_of(imitator.model).fingerprint()
    roles, table = train(
        tmp_path, imitator, steps=15, prompts_per_step=64, kl_coefficient=0.01, learning_rate=3e-3,
        value_learning_rate=1e-2,
    )  # fmt: skip
    scores = [value for _, value in table.series("reward/score")]
    assert scores[0] == pytest.approx(0.25, abs=0.08)  # one letter of four
    assert sum(scores[-3:]) / 3 > 0.7
    assert table.last("policy/kl_to_reference") > 1.0  # it moved away from where it began,
    assert roles.reference.fingerprint() == fingerprint  # and the reference did not follow


def test_first_minibatch_has_ratio_one_and_no_distance_to_the_reference(imitator: Imitator, tmp_path: Path) -> None:
    _, table = train(tmp_path, imitator, steps=1, minibatches=1, ppo_epochs=1)
    assert table.last("policy/kl_to_reference") == 0.0
    assert table.last("policy/ratio_mean") == pytest.approx(1.0, abs=1e-5)
    assert table.last("policy/approximate_kl") == pytest.approx(0.0, abs=1e-9)
    assert table.last("policy/clip_fraction") == 0.0
    # At ratio 1 the loss is minus the mean of whitened advantages: nothing.
    assert table.last("loss/policy") == pytest.approx(0.0, abs=1e-5)


def test_policy_rests_while_the_value_model_warms_up(imitator: Imitator, tmp_path: Path) -> None:
    roles, table = train(tmp_path, imitator, steps=2, value_warmup_steps=2, value_learning_rate=1e-2)
    tiny.assert_same_weights(roles.policy.model, tiny.weights(imitator.model))
    assert table.series("optim/grad_norm") == [] and len(table.series("optim/value_grad_norm")) == 2
    assert bool(roles.value.model.head.weight.any())  # which began at zero


class PromptReward:
    """One prompt pays, the others do not: what is to come is known before the first token."""

    def score(self, prompts: Any, responses: Any) -> torch.Tensor:
        return torch.tensor([4.0 * (messages[0].content == "go") for messages in prompts])


def test_value_model_learns_to_foresee_the_reward(imitator: Imitator, tmp_path: Path) -> None:
    roles = PPORoles(
        tiny.policy_of(imitator.model), tiny.value_of(imitator.model), tiny.reference_of(imitator.model), PromptReward()
    )
    config = tiny.ppo_config(
        steps=60, prompts_per_step=32, value_warmup_steps=60, value_learning_rate=5e-3, value_clip_range=1.0,
        kl_coefficient=0.0,
    )  # fmt: skip
    train_ppo(config, roles, RewardScale(0.0, 1.0), tiny.PROMPTS, tiny.run_in(tmp_path, checkpoint_every=1000))
    explained = [value for _, value in read_metrics(tmp_path / "metrics.jsonl").series("value/explained_variance")]
    assert explained[0] == pytest.approx(0.0, abs=1e-6)  # every value starts at zero
    assert sum(explained[-3:]) / 3 > 0.5


def test_adaptive_coefficient_rises_while_the_distance_is_above_its_target(imitator: Imitator, tmp_path: Path) -> None:
    _, table = train(tmp_path, imitator, steps=4, target_kl_per_sequence=1e-3, kl_horizon=80.0, learning_rate=5e-3)
    coefficients = [value for _, value in table.series("policy/kl_coefficient")]
    # Ziegler et al. 2019: 0.2 is the largest error, 8 responses a step, 80 the horizon: factors from 0.98 to 1.02.
    assert coefficients[0] == 0.05 and coefficients[1] == pytest.approx(0.05 * 0.98)  # no distance at the start
    assert coefficients[3] == pytest.approx(coefficients[2] * 1.02)


def test_reference_of_other_weights_stops_the_run(imitator: Imitator, tmp_path: Path) -> None:
    policy = tiny.policy_of(imitator.model)
    with torch.no_grad():
        policy.model.model.norm.weight.mul_(1.05)
    before = tiny.weights(policy.model)
    with pytest.raises(TrainingError, match=r"step 0: KL to the reference is .* nats a response although"):
        train(tmp_path, imitator, policy)
    tiny.assert_same_weights(policy.model, before)


class WrongTemperature(Policy):
    """Forgets the sampling temperature when it is trained."""

    def logps(self, input_ids: torch.Tensor, response_mask: torch.Tensor, **options: Any) -> ResponseLogps:
        if torch.is_grad_enabled():
            options.pop("temperature")
        return super().logps(input_ids, response_mask, **options)


class WithDropout(Policy):
    """Leaves dropout on while it is trained."""

    def logps(self, input_ids: torch.Tensor, response_mask: torch.Tensor, **options: Any) -> ResponseLogps:
        self.model.train(torch.is_grad_enabled())
        return super().logps(input_ids, response_mask, **options)


@pytest.mark.parametrize("fault", [WrongTemperature, WithDropout])
def test_what_comes_between_sampling_and_training_is_noticed(
    fault: type[Policy], imitator: Imitator, tmp_path: Path
) -> None:
    policy = fault(tiny.policy_of(imitator.model).model, tiny.TOKENIZER, tiny.CHAT)
    for layer in policy.model.model.layers:
        layer.self_attn.attention_dropout = 0.2
    before = tiny.weights(policy.model)
    with pytest.raises(TrainingError, match=r"step 0: before the first update the policy's ratio .* is off by up to"):
        train(tmp_path, imitator, policy, temperature=0.7)
    tiny.assert_same_weights(policy.model, before)


class BrokenReward:
    """Scores well, until the third step: the seventh time, four responses of the first step being scored twice."""

    def __init__(self) -> None:
        self.calls = 0

    def score(self, prompts: Any, responses: Any) -> torch.Tensor:
        self.calls += 1
        return torch.full((len(responses),), torch.nan if self.calls == 7 else 1.0)


def test_score_that_is_not_finite_stops_before_the_update_and_leaves_the_checkpoint(
    imitator: Imitator, tmp_path: Path
) -> None:
    value = tiny.value_of(imitator.model)
    roles = PPORoles(tiny.policy_of(imitator.model), value, tiny.reference_of(imitator.model), BrokenReward())
    with pytest.raises(TrainingError, match=r"step 2: the reward of 8 of 8 responses is not finite \(prompts p\d"):
        train_ppo(tiny.ppo_config(), roles, RewardScale(0.0, 1.0), tiny.PROMPTS, tiny.run_in(tmp_path))
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["next_step"] == 2
    for name, parameter in roles.policy.model.named_parameters():
        assert torch.equal(parameter, saved["parts"]["policy"][name])
    assert len(read_metrics(tmp_path / "metrics.jsonl").series("reward/score")) == 2
