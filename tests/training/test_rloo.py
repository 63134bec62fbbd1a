from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.errors import TrainingError
from boresight.models.response_logps import ResponseLogps
from boresight.models.roles import Policy
from boresight.runlog.reader import MetricTable, read_metrics
from boresight.training.experience import RewardScale
from boresight.training.rloo import RLOORoles, train_rloo

from . import tiny_world as tiny
from .conftest import Imitator


def train(
    folder: Path, imitator: Imitator, policy: Policy | None = None, **changes: Any
) -> tuple[RLOORoles, MetricTable]:
    reference = tiny.reference_of(imitator.model)
    roles = RLOORoles(policy or tiny.policy_of(imitator.model), reference, tiny.LetterShare())
    run = tiny.run_in(folder, checkpoint_every=1000)
    train_rloo(tiny.rloo_config(**changes), roles, RewardScale(0.0, 1.0), tiny.PROMPTS, run)
    return roles, read_metrics(folder / "metrics.jsonl")


def test_reward_of_an_easy_rule_rises_while_the_reference_stays(imitator: Imitator, tmp_path: Path) -> None:
    fingerprint = tiny.reference_of(imitator.model).fingerprint()
    roles, table = train(
        tmp_path, imitator, steps=15, prompts_per_step=16, responses_per_prompt=4, rloo_epochs=2, learning_rate=3e-3,
        kl_coefficient=0.01,
    )  # fmt: skip
    scores = [value for _, value in table.series("reward/score")]
    assert scores[0] == pytest.approx(0.25, abs=0.08)  # one letter of four
    assert sum(scores[-3:]) / 3 > 0.6
    assert roles.reference.fingerprint() == fingerprint


def test_first_minibatch_has_ratio_one_and_no_distance_to_the_reference(imitator: Imitator, tmp_path: Path) -> None:
    _, table = train(tmp_path, imitator, steps=1, minibatches=1)
    assert table.last("policy/kl_to_reference") == 0.0
    assert table.last("policy/ratio_mean") == pytest.approx(1.0, abs=1e-4)
    assert table.last("policy/clip_fraction") == 0.0
    # The advantages of one prompt's responses sum to 0, and at ratio 1 so does the loss.
    assert table.last("advantage/mean") == pytest.approx(0.0, abs=1e-6)
    assert table.last("loss/policy") == pytest.approx(0.0, abs=1e-5)


class Rounding(Policy):
    """Computes a row a little otherwise with a gradient, as other batches in bfloat16 do."""

    def logps(self, input_ids: torch.Tensor, response_mask: torch.Tensor, **options: Any) -> ResponseLogps:
        found = super().logps(input_ids, response_mask, **options)
        return found._replace(logp=found.logp + 1e-5 * found.mask) if torch.is_grad_enabled() else found


def test_step_in_which_rounding_alone_is_too_far_is_skipped_whole(imitator: Imitator, tmp_path: Path) -> None:
    policy = Rounding(tiny.policy_of(imitator.model).model, tiny.TOKENIZER, tiny.CHAT)
    before = tiny.weights(policy.model)
    _, table = train(tmp_path, imitator, policy, steps=1, minibatches=2, stop_update_above_kl=1e-12)
    assert table.last("policy/skipped_minibatches") == 2.0 and table.series("optim/grad_norm") == []
    tiny.assert_same_weights(policy.model, before)


class WrongTemperature(Policy):
    """Forgets the sampling temperature when it is trained."""

    def logps(self, input_ids: torch.Tensor, response_mask: torch.Tensor, **options: Any) -> ResponseLogps:
        if torch.is_grad_enabled():
            options.pop("temperature")
        return super().logps(input_ids, response_mask, **options)


def test_another_temperature_in_training_is_noticed(imitator: Imitator, tmp_path: Path) -> None:
    policy = WrongTemperature(tiny.policy_of(imitator.model).model, tiny.TOKENIZER, tiny.CHAT)
    with pytest.raises(TrainingError, match=r"step 0: before the first update the policy's ratio .* another temp"):
        train(tmp_path, imitator, policy, temperature=0.7)


def test_reference_of_other_weights_stops_the_run(imitator: Imitator, tmp_path: Path) -> None:
    policy = tiny.policy_of(imitator.model)
    with torch.no_grad():
        policy.model.model.norm.weight.mul_(1.05)
    with pytest.raises(TrainingError, match=r"step 0: KL to the reference is .* nats a response although"):
        train(tmp_path, imitator, policy)
    assert not (tmp_path / "metrics.jsonl").exists()
