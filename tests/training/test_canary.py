"""A second reward is scored and logged, and changes nothing of what is trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr

from boresight.errors import TrainingError
from boresight.runlog.reader import MetricTable, read_metrics
from boresight.training.canary import rank_correlation
from boresight.training.experience import RewardScale, Rollouts, gather_experience, logged_samples
from boresight.training.reward_sources import AnySource
from boresight.training.rloo import RLOORoles, train_rloo

from . import tiny_world as tiny
from .conftest import Imitator

LOOKS = ("reward/canary_score", "reward/canary_deviation", "reward/canary_correlation", "reward/score_deviation")


class Length:
    """Against the letters that pay: each character costs."""

    def score(self, prompts: Any, responses: Any) -> torch.Tensor:
        return torch.tensor([-float(len(text)) for text in responses])


class Broken:
    def score(self, prompts: Any, responses: Any) -> torch.Tensor:
        return torch.full((len(responses),), torch.nan)


def train(folder: Path, imitator: Imitator, canary: AnySource | None, **changes: Any) -> tuple[RLOORoles, MetricTable]:
    policy = tiny.policy_of(imitator.model)
    roles = RLOORoles(policy, tiny.reference_of(imitator.model), tiny.LetterShare(), canary)
    train_rloo(tiny.rloo_config(**changes), roles, RewardScale(0.0, 1.0), tiny.PROMPTS, tiny.run_in(folder))
    return roles, read_metrics(folder / "metrics.jsonl")


def test_canary_is_logged_every_so_often_and_in_the_last_step(imitator: Imitator, tmp_path: Path) -> None:
    _, table = train(tmp_path, imitator, Length(), steps=6, canary_every=2)
    for name in LOOKS:
        assert [step for step, _ in table.series(name)] == [0, 2, 4, 5]
    lengths = dict(table.series("rollout/length_tokens"))
    for step, score in table.series("reward/canary_score"):
        assert -lengths[step] <= score < 0  # a byte a token, the stop token no part of the text


def test_canary_changes_neither_weights_nor_any_other_figure(imitator: Imitator, tmp_path: Path) -> None:
    with_it, seen = train(tmp_path / "a", imitator, Length(), steps=3)
    without, table = train(tmp_path / "b", imitator, None, steps=3)
    assert set(seen.names) - set(table.names) == set(LOOKS)
    for first, second in zip(with_it.policy.parameters(), without.policy.parameters(), strict=True):
        assert torch.equal(first, second)


def test_canary_without_numbers_stops_the_run_before_the_step_is_trained(imitator: Imitator, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"step 0: the canary gave 8 of 8 responses"):
        train(tmp_path, imitator, Broken(), steps=2, prompts_per_step=4, responses_per_prompt=2)


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlation_is_that_of_scipy(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    first, second = torch.randint(0, 6, (2, 30), generator=draw).double()
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert rank_correlation(first, torch.ones(30)) == 0.0


def test_kept_responses_are_of_different_prompts_before_one_has_a_second(imitator: Imitator, tmp_path: Path) -> None:
    config = tiny.rloo_config(prompts_per_step=4, responses_per_prompt=3, logged_samples=6)
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    run = tiny.run_in(tmp_path)
    policy.model.eval()
    scale = RewardScale(0.0, 1.0)
    rollouts = Rollouts(config, policy, tiny.PROMPTS, run)
    got = gather_experience(config, policy, reference, tiny.LetterShare(), scale, rollouts, run, step=0)
    kept = [row["prompt"] for row in logged_samples(config, got, torch.zeros(12, 1))]
    assert sorted(kept[:4]) == ["p0", "p1", "p2", "p3"] and kept[4:] == kept[:2]
