"""Settings of the loops that sample from their policy, each seen in what the loop does to weights or metrics."""

import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from boresight.config.sections import PPOStage, RLOOStage
from boresight.diagnosis.diagnose import diagnose
from boresight.diagnosis.readers.folders import read_logs
from boresight.models.generate import Generation
from boresight.models.roles import Policy
from boresight.objectives.advantages import gae, kl_shaped_reward
from boresight.objectives.masking import masked_mean, masked_whiten
from boresight.objectives.rloo import leave_one_out_advantage
from boresight.runlog.reader import MetricTable, read_metrics
from boresight.training.experience import Experience, Rollouts, gather_experience
from boresight.training.ppo import PPORoles, train_ppo
from boresight.training.reward_scale import RewardScale
from boresight.training.rloo import RLOORoles, train_rloo

from . import tiny_world as tiny
from .conftest import Imitator

UNSCALED = RewardScale(0.0, 1.0)
RAGGED = {"temperature": 3.0, "max_new_tokens": 8}  # hot enough for responses of many lengths


class OtherArithmetic(Policy):
    """Samples with log-probabilities that are not the trainer's, as another engine would."""

    def generate(self, prompts: Any, **options: Any) -> list[Generation]:
        return [
            replace(found, logps=[logp - 1.5 * (token % 2) for token, logp in enumerate(found.logps)])
            for found in super().generate(prompts, **options)
        ]


def other_arithmetic(imitator: Imitator) -> Policy:
    return OtherArithmetic(tiny.policy_of(imitator.model).model, tiny.TOKENIZER, tiny.CHAT)


def ppo(folder: Path, imitator: Imitator, config: PPOStage, policy: Policy | None = None) -> tuple[Policy, MetricTable]:
    model = imitator.model
    roles = PPORoles(
        policy or tiny.policy_of(model), tiny.value_of(model), tiny.reference_of(model), tiny.LetterShare()
    )
    train_ppo(config, roles, UNSCALED, tiny.PROMPTS, tiny.run_in(folder))
    return roles.policy, read_metrics(folder / "metrics.jsonl")


def rloo(
    folder: Path, imitator: Imitator, config: RLOOStage, policy: Policy | None = None
) -> tuple[Policy, MetricTable]:
    model = imitator.model
    roles = RLOORoles(policy or tiny.policy_of(model), tiny.reference_of(model), tiny.LetterShare())
    train_rloo(config, roles, UNSCALED, tiny.PROMPTS, tiny.run_in(folder))
    return roles.policy, read_metrics(folder / "metrics.jsonl")


def first_experience(
    folder: Path, imitator: Imitator, config: PPOStage | RLOOStage, policy: Policy
) -> tuple[Experience, Tensor]:
    """What the loop gathers at its first step, and its shaped reward."""
    run, reference = tiny.run_in(folder), tiny.reference_of(imitator.model)
    policy.model.eval()
    rollouts = Rollouts(config, policy, tiny.PROMPTS, run)
    got = gather_experience(config, policy, reference, tiny.LetterShare(), UNSCALED, rollouts, run, 0)
    shaped = kl_shaped_reward(
        got.score, got.logp, got.reference_logp, got.mask,
        kl_coefficient=config.kl_coefficient, estimator=config.kl_estimator,
    )  # fmt: skip
    return got, shaped


def gradient_in(folder: Path, part: str) -> list[Tensor]:
    """After one step Adam's first moment is a tenth of the gradient (nothing is clipped)."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)["parts"][part]["optimizer"]["state"]
    return [10.0 * moments["exp_avg"] for moments in state.values()]


def assert_same_gradient(got: list[Tensor], loss: Tensor, policy: Policy) -> None:
    """Sorted by size: the optimizer has groups of its own."""
    parameters = [p for p in policy.model.parameters() if p.requires_grad]
    expected = torch.autograd.grad(loss, parameters)
    for a, b in zip(
        sorted((g.flatten() for g in got), key=lambda g: (len(g), float(g.norm()))),
        sorted((g.flatten() for g in expected), key=lambda g: (len(g), float(g.norm()))),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


ONE_UPDATE: dict[str, Any] = {"steps": 1, "minibatches": 1, "max_grad_norm": 1e9, "adam_beta1": 0.9, **RAGGED}


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean"])
@pytest.mark.parametrize("correction", ["none", "truncated"])
def test_gradient_of_ppo_is_that_of_the_named_mean_with_the_named_weights(
    aggregation: str, correction: str, imitator: Imitator, tmp_path: Path
) -> None:
    config = tiny.ppo_config(
        ppo_epochs=1, loss_aggregation=aggregation, importance_correction=correction, importance_cap=1.8,
        micro_batch_tokens=40, **ONE_UPDATE,
    )  # fmt: skip
    ppo(tmp_path / "run", imitator, config, other_arithmetic(imitator))

    policy = other_arithmetic(imitator)
    got, shaped = first_experience(tmp_path / "by hand", imitator, config, policy)
    assert len(set(got.rollout.lengths.tolist())) > 1
    estimate = gae(shaped, torch.zeros_like(shaped), got.mask, gamma=1.0, gae_lambda=config.gae_lambda)
    advantage = masked_whiten(estimate.advantage, got.mask, shift_mean=True)
    now = policy.logps(got.rollout.input_ids, got.rollout.response_mask, temperature=config.temperature)
    weight = torch.ones_like(got.logp)
    if correction == "truncated":
        weight = (got.logp - got.rollout.sampler_logp).exp().clamp(max=1.8)
        assert weight.max() == pytest.approx(1.8)
    loss = -advantage * weight * now.logp  # at ratio 1 the gradient of the clipped loss is the policy gradient
    mean = masked_mean(loss, got.mask)
    if aggregation == "sequence_mean":
        mean = masked_mean(loss, got.mask, 1).mean()
    assert_same_gradient(gradient_in(tmp_path / "run", "policy_updater"), mean, policy)


@pytest.mark.parametrize("correction", ["none", "truncated"])
def test_gradient_of_rloo_weighs_whole_responses(correction: str, imitator: Imitator, tmp_path: Path) -> None:
    config = tiny.rloo_config(importance_correction=correction, importance_cap=200.0, **ONE_UPDATE)
    rloo(tmp_path / "run", imitator, config, other_arithmetic(imitator))

    policy = other_arithmetic(imitator)
    got, shaped = first_experience(tmp_path / "by hand", imitator, config, policy)
    advantage = leave_one_out_advantage(shaped.sum(1).view(4, 2)).flatten()
    now = policy.logps(got.rollout.input_ids, got.rollout.response_mask, temperature=config.temperature)
    weight = torch.ones_like(advantage)
    if correction == "truncated":
        weight = ((got.logp - got.rollout.sampler_logp) * got.mask).sum(1).exp().clamp(max=200.0)
        assert 1.0 < weight.min() < weight.max() == 200.0
    loss = (-advantage * weight * (now.logp * got.mask).sum(1)).mean()
    assert_same_gradient(gradient_in(tmp_path / "run", "updater"), loss, policy)


def test_gap_between_sampler_and_trainer_is_logged(imitator: Imitator, tmp_path: Path) -> None:
    config = tiny.ppo_config(steps=1, **RAGGED)
    _, same = ppo(tmp_path / "same", imitator, config)
    assert same.last("policy/sampler_kl") == pytest.approx(0.0, abs=1e-5)
    assert same.last("policy/sampler_effective_share") == pytest.approx(1.0, abs=1e-5)
    _, other = ppo(tmp_path / "other", imitator, config, other_arithmetic(imitator))
    at_every_second = math.exp(1.5) - 1 - 1.5  # k3 of 1.5 nats
    assert 0.4 * at_every_second < other.last("policy/sampler_kl") < 0.6 * at_every_second
    assert other.last("policy/sampler_effective_share") < 0.8
    (log,) = read_logs(tmp_path / "other" / "metrics.jsonl")
    found = diagnose(log.run).findings  # the doctor sees it in a log of ours
    assert "logprob_mismatch" in [finding.id for finding in found]


@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_updates_stop_once_the_policy_is_too_far_and_the_schedule_goes_on(
    method: str, imitator: Imitator, tmp_path: Path
) -> None:
    loop: Any = ppo if method == "ppo" else rloo
    make: Any = tiny.ppo_config if method == "ppo" else tiny.rloo_config
    changes = {"steps": 3, "minibatches": 2, f"{method}_epochs": 2, "learning_rate": 3e-3, "responses_per_prompt": 4}
    _, free = loop(tmp_path / "free", imitator, make(**changes))
    _, stopped = loop(tmp_path / "stopped", imitator, make(**changes, stop_update_above_kl=1e-7))
    assert [value for _, value in stopped.series("policy/skipped_minibatches")] == [3.0, 3.0, 3.0]
    assert free.series("policy/skipped_minibatches") == []
    assert free.series("optim/learning_rate") == stopped.series("optim/learning_rate")
    state = torch.load(tmp_path / "stopped/checkpoint.pt", weights_only=True)["parts"]
    updater = state["policy_updater" if method == "ppo" else "updater"]
    assert updater["updates"] == 12  # for the schedule
    assert {int(moments["step"]) for moments in updater["optimizer"]["state"].values()} == {3}  # made


def test_updates_do_not_stop_below_the_threshold(imitator: Imitator, tmp_path: Path) -> None:
    free, _ = ppo(tmp_path / "free", imitator, tiny.ppo_config(steps=2))
    bounded, table = ppo(tmp_path / "bounded", imitator, tiny.ppo_config(steps=2, stop_update_above_kl=10.0))
    assert table.last("policy/skipped_minibatches") == 0.0
    tiny.assert_same_weights(bounded.model, tiny.weights(free.model))


def test_whitened_rewards_keep_their_mean_and_have_variance_one(imitator: Imitator, tmp_path: Path) -> None:
    config = tiny.ppo_config(steps=1, whiten_rewards=True, **RAGGED)
    _, table = ppo(tmp_path / "run", imitator, config)
    got, shaped = first_experience(tmp_path / "by hand", imitator, config, tiny.policy_of(imitator.model))
    numbers = shaped[got.mask].double().tolist()
    mean, deviation = statistics.fmean(numbers), statistics.pstdev(numbers)
    whitened = torch.where(got.mask, (shaped - mean) / deviation + mean, 0.0)
    estimate = gae(whitened, torch.zeros_like(shaped), got.mask, gamma=1.0, gae_lambda=config.gae_lambda)
    assert table.last("advantage/mean") == pytest.approx(float(masked_mean(estimate.advantage, got.mask)), rel=1e-4)
    assert table.last("reward/shaped") == pytest.approx(float(shaped.sum(1).mean()), rel=1e-4)  # logged as it was paid


def test_running_scale_makes_the_scores_of_the_first_step_mean_zero(imitator: Imitator, tmp_path: Path) -> None:
    _, table = ppo(tmp_path, imitator, tiny.ppo_config(reward_scale="running", learning_rate=1e-2, steps=6))
    normalized = [value for _, value in table.series("reward/score_normalized")]
    raw = [value for _, value in table.series("reward/score")]
    assert normalized[0] == pytest.approx(0.0, abs=1e-6)
    assert raw[-1] > raw[0] and normalized[-1] > 0.3  # above what was seen so far


@pytest.mark.parametrize(("how", "expected"), [("replace", -2.0), ("subtract", 1.0)])
def test_response_without_stop_is_fined_as_named(how: str, expected: float, imitator: Imitator, tmp_path: Path) -> None:
    class Three:
        def score(self, prompts: Any, responses: Any) -> Tensor:
            return torch.full((len(responses),), 3.0)

    config = tiny.ppo_config(missing_stop_penalty=2.0, missing_stop=how, max_new_tokens=4)
    policy = tiny.policy_of(imitator.model)
    policy.model.eval()
    run, reference = tiny.run_in(tmp_path), tiny.reference_of(imitator.model)
    rollouts = Rollouts(config, policy, tiny.PROMPTS, run)
    got = gather_experience(config, policy, reference, Three(), UNSCALED, rollouts, run, 0)
    assert not got.rollout.stopped.any() and got.score.tolist() == [expected] * 8


def test_number_of_logged_samples_is_a_setting_and_they_change_nothing_else(imitator: Imitator, tmp_path: Path) -> None:
    with_samples, _ = ppo(tmp_path / "with", imitator, tiny.ppo_config(steps=2, logged_samples=3))
    without, _ = ppo(tmp_path / "without", imitator, tiny.ppo_config(steps=2, logged_samples=0))
    assert (tmp_path / "with/samples.jsonl").read_text().count("\n") == 6
    assert not (tmp_path / "without/samples.jsonl").exists()
    tiny.assert_same_weights(with_samples.model, tiny.weights(without.model))
