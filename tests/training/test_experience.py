from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.errors import TrainingError
from boresight.models.response_logps import response_logps
from boresight.training.experience import (
    KLCoefficient,
    RewardScale,
    Rollouts,
    check_starts_on_policy,
    check_stopping_pays,
    gather_experience,
    minibatch_rows,
)

from . import tiny_world as tiny
from .conftest import Imitator


class ScoresInTurn:
    def __init__(self, *scores: float) -> None:
        self.scores = scores

    def score(self, prompts: Any, responses: Any) -> torch.Tensor:
        return torch.tensor([self.scores[i % len(self.scores)] for i in range(len(responses))])


def test_experience_holds_log_probabilities_at_the_sampling_temperature(imitator: Imitator, tmp_path: Path) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(tiny.fresh_model(seed=2))
    config = tiny.ppo_config(temperature=0.7, reference="other", missing_stop_penalty=2.0, max_new_tokens=4)
    scale = RewardScale(1.0, 2.0)
    run = tiny.run_in(tmp_path)
    policy.model.eval()
    rollouts = Rollouts(config, policy, tiny.PROMPTS, run)
    got = gather_experience(config, policy, reference, ScoresInTurn(3.0), scale, rollouts, run, step=0)
    rollout = got.rollout
    with torch.no_grad():
        at_it = response_logps(policy.model, rollout.input_ids, rollout.response_mask, temperature=0.7)
        other = response_logps(reference.model, rollout.input_ids, rollout.response_mask, temperature=0.7)
    assert torch.equal(got.logp, at_it.logp) and torch.equal(got.reference_logp, other.logp)
    assert got.raw_score.tolist() == [3.0] * 8
    assert not rollout.stopped.any() and got.score.tolist() == [-2.0] * 8  # four tokens are too few to stop


@pytest.mark.parametrize("how", ["replace", "subtract"])
def test_a_fine_above_the_scores_of_responses_that_stop_ends_the_run(
    how: str, imitator: Imitator, tmp_path: Path
) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    config = tiny.ppo_config(missing_stop_penalty=1.0, missing_stop=how)
    policy.model.eval()
    run = tiny.run_in(tmp_path)

    def gather(score: float) -> Any:
        rollouts = Rollouts(config, policy, tiny.PROMPTS, run)
        return gather_experience(
            config, policy, reference, ScoresInTurn(score), RewardScale(0.0, 1.0), rollouts, run, step=0
        )

    assert bool(gather(-0.9).rollout.stopped.any())
    if how == "subtract":
        gather(-4.2)
        return
    with pytest.raises(TrainingError, match=r"step 0: responses that stop have a mean score of -4\.2 \(reward_scale: "):
        gather(-4.2)


@pytest.mark.parametrize("scale", ["reference", "running"])
def test_a_fine_is_not_held_against_a_scale_of_the_policys_own_mean(scale: str) -> None:
    config = tiny.ppo_config(missing_stop_penalty=0.0, reward_scale=scale)
    check_stopping_pays(config, torch.tensor([-0.1, 0.1]), torch.tensor([True, False]))


def test_ratio_other_than_one_before_the_first_update_stops_the_run() -> None:
    ratio = torch.tensor([[1.0, 1.0 + 1e-5], [1.0 - 1e-5, 1.0]])
    check_starts_on_policy(ratio, step=1)
    ratio[1, 0] = 1.02
    with pytest.raises(TrainingError, match=r"step 1: before the first update .* off by up to 0\.02; expected 1\."):
        check_starts_on_policy(ratio, step=1)


def test_minibatches_hold_every_response_once_in_an_order_of_the_generator() -> None:
    rows = minibatch_rows(12, 3, torch.Generator().manual_seed(0))
    assert [len(part) for part in rows] == [4, 4, 4]
    assert sorted(torch.cat(rows).tolist()) == list(range(12)) != torch.cat(rows).tolist()


def test_coefficient_is_fixed_without_a_target_and_comes_back_from_its_state(
    imitator: Imitator, tmp_path: Path
) -> None:
    config = tiny.ppo_config(reference="other")
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(tiny.fresh_model(seed=2))
    run = tiny.run_in(tmp_path)
    rollouts = Rollouts(config, policy, tiny.PROMPTS, run)
    got = gather_experience(config, policy, reference, tiny.LetterShare(), RewardScale(0, 1), rollouts, run, step=0)
    fixed = KLCoefficient(0.05, target=None, horizon=10.0)
    fixed.adapt(got)
    assert fixed.value == 0.05
    steered = KLCoefficient(0.05, target=0.5, horizon=80.0)
    steered.adapt(got)
    assert steered.value == pytest.approx(0.05 * 1.02)  # far above the target: error 0.2 x 8 responses / 80
    again = KLCoefficient(0.0, target=0.5, horizon=80.0)
    again.load_state_dict(steered.state_dict())
    assert again.value == steered.value
