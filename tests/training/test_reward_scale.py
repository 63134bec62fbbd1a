import statistics
from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.errors import TrainingError
from boresight.training.reward_scale import (
    RewardScale,
    RunningScale,
    measure_reward_scale,
    priced_scores,
    stepwise_scale,
)

from . import tiny_world as tiny
from .conftest import Imitator


class ScoresInTurn:
    def __init__(self, *scores: float) -> None:
        self.scores = scores

    def score(self, prompts: Any, responses: Any) -> torch.Tensor:
        return torch.tensor([self.scores[i % len(self.scores)] for i in range(len(responses))])


def test_reward_scale_is_mean_and_deviation_over_responses_of_the_reference(imitator: Imitator, tmp_path: Path) -> None:
    config = tiny.ppo_config(reward_scale="reference")
    reference, reward = tiny.reference_of(imitator.model), ScoresInTurn(1.0, 5.0)
    scale = measure_reward_scale(config, reference, reward, tiny.PROMPTS, tiny.run_in(tmp_path))
    assert scale == RewardScale(3.0, 2.0)  # of 1, 5, 1, 5; divided by n


def test_reward_scale_follows_from_the_seed_alone(imitator: Imitator, tmp_path: Path) -> None:
    config = tiny.ppo_config(reward_scale="reference", normalization_prompts=3)
    reference = tiny.reference_of(imitator.model)

    def measured(seed: int) -> RewardScale:
        run = tiny.run_in(tmp_path, seed=seed)
        return measure_reward_scale(config, reference, tiny.LetterShare(), tiny.PROMPTS, run)

    assert measured(0) == measured(0) != measured(1)


def test_reward_scale_leaves_scores_alone_where_it_is_another_way(imitator: Imitator, tmp_path: Path) -> None:
    reference = tiny.reference_of(imitator.model)
    run = tiny.run_in(tmp_path)
    assert measure_reward_scale(tiny.ppo_config(), reference, ScoresInTurn(4.0), tiny.PROMPTS, run) == (0.0, 1.0)


@pytest.mark.parametrize("scores", [(2.0, 2.0), (2.0, 2.0 + 2e-7)])
def test_reward_source_that_scores_everything_alike_is_refused(
    scores: tuple[float, float], imitator: Imitator, tmp_path: Path
) -> None:
    config = tiny.ppo_config(reward_scale="reference")
    reference = tiny.reference_of(imitator.model)
    with pytest.raises(TrainingError, match=r"all 4 responses of the reference one score \(2\)"):
        measure_reward_scale(config, reference, ScoresInTurn(*scores), tiny.PROMPTS, tiny.run_in(tmp_path))


def test_score_of_the_reference_that_is_not_finite_is_named(imitator: Imitator, tmp_path: Path) -> None:
    config, reference = tiny.ppo_config(reward_scale="reference"), tiny.reference_of(imitator.model)
    with pytest.raises(TrainingError, match=r"before the first step: the reward of 2 of 4 responses is not finite"):
        measure_reward_scale(config, reference, ScoresInTurn(1.0, torch.nan), tiny.PROMPTS, tiny.run_in(tmp_path))


def test_scale_is_that_of_scores_after_the_cost_of_length(imitator: Imitator, tmp_path: Path) -> None:
    reference, run = tiny.reference_of(imitator.model), tiny.run_in(tmp_path)
    plain = tiny.ppo_config(reward_scale="reference")
    costly = tiny.ppo_config(reward_scale="reference", length_penalty=0.1)
    scales = [
        measure_reward_scale(config, reference, ScoresInTurn(1.0, 5.0), tiny.PROMPTS, run) for config in (plain, costly)
    ]
    assert scales[1].mean < scales[0].mean - 0.5  # six letters and a stop token cost 0.7


def test_length_costs_as_the_config_says() -> None:
    rollout, raw = tiny.rollout_of("abc", "a"), torch.tensor([2.0, 2.0])  # four tokens and two, with the stop token
    for changes, expected in (
        ({}, [2.0, 2.0]),
        ({"length_penalty": 0.5}, [0.0, 1.0]),
        ({"length_penalty": 0.5, "length_penalty_from": 2}, [1.0, 2.0]),
        ({"length_normalized_reward": True}, [0.5, 1.0]),
    ):
        assert priced_scores(tiny.ppo_config(**changes), raw, rollout).tolist() == expected, changes


def test_running_scale_is_that_of_all_scores_so_far_and_comes_back_from_its_state() -> None:
    scale, everything = RunningScale(), []
    for batch in ([1.0, 3.0], [8.0, 8.0, 8.0], [-4.0]):
        everything += batch
        got = scale.normalize(torch.tensor(batch)).tolist()
        mean, deviation = statistics.fmean(everything), statistics.pstdev(everything)
        assert got == pytest.approx([(score - mean) / deviation for score in batch], abs=1e-5)
    again = RunningScale()
    again.load_state_dict(scale.state_dict())
    assert again.moments == scale.moments


def test_running_scale_of_equal_scores_pays_nothing() -> None:
    assert RunningScale().normalize(torch.tensor([3.0, 3.0])).tolist() == [0.0, 0.0]


def test_what_runs_along_belongs_into_the_checkpoint() -> None:
    measured = RewardScale(1.0, 2.0)
    assert stepwise_scale(tiny.ppo_config(reward_scale="reference"), measured) == (measured, {})
    scale, state = stepwise_scale(tiny.ppo_config(reward_scale="running"), measured)
    assert state == {"reward_scale": scale}
