"""Rollouts of older weights: which version wrote them, with which ratio they are learnt from, and what is refused."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from boresight.errors import TrainingError
from boresight.models.generate import Generation
from boresight.models.response_logps import response_logps
from boresight.models.roles import Policy
from boresight.runlog.reader import read_metrics
from boresight.training.ppo import PPORoles, train_ppo
from boresight.training.reward_scale import RewardScale
from boresight.training.rloo import RLOORoles, train_rloo
from boresight.training.rollout import Rollout
from boresight.training.run import Run
from boresight.training.staleness import Rollouts

from . import tiny_world as tiny

FAST: dict[str, Any] = {"steps": 4, "learning_rate": 3e-2, "temperature": 0.8, "on_finding": "note"}


def train(method: str, policy: Policy, run: Run, **changes: Any) -> None:
    start = tiny.fresh_model()
    others = {"reference": tiny.reference_of(start), "reward": tiny.LetterShare()}
    if method == "ppo":
        roles = PPORoles(policy=policy, value=tiny.value_of(start), **others)
        train_ppo(tiny.ppo_config(**FAST | changes), roles, RewardScale(0.0, 1.0), tiny.PROMPTS, run)
    else:
        rloo = RLOORoles(policy=policy, **others)
        train_rloo(tiny.rloo_config(**FAST | changes), rloo, RewardScale(0.0, 1.0), tiny.PROMPTS, run)


@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_a_step_learns_from_the_policy_of_so_many_steps_before_with_the_ratio_to_it(
    method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the sampler said, and the weights that are logged, against a model with the weights of those steps."""
    policy = tiny.policy_of(tiny.fresh_model())
    seen: list[tuple[dict[str, Tensor], Rollout]] = []  # of each step: the weights before its update, its rollout
    taken = Rollouts.of

    def of(self: Rollouts, step: int) -> Rollout:
        seen.append((copy.deepcopy(policy.model.state_dict()), taken(self, step)))
        return seen[-1][1]

    monkeypatch.setattr(Rollouts, "of", of)
    train(method, policy, tiny.run_in(tmp_path), staleness=2)
    model = tiny.fresh_model().eval()

    def logps(step: int, rollout: Rollout) -> Tensor:
        model.load_state_dict(seen[step][0])
        with torch.no_grad():
            return response_logps(model, rollout.input_ids, rollout.response_mask, temperature=0.8).logp.double()

    log = read_metrics(tmp_path / "metrics.jsonl")
    logged = {name: [p.value for p in log.series(name, "train")] for name in log.names}
    for step, (_, rollout) in enumerate(seen):
        wrote = max(0, step - 2)
        assert set(rollout.versions.tolist()) == {wrote}
        behaviour, counted = (
            logps(wrote, rollout),
            torch.arange(rollout.sampler_logp.shape[1]) < rollout.lengths[:, None],
        )
        torch.testing.assert_close(rollout.sampler_logp.double(), behaviour, rtol=1e-4, atol=1e-4)
        gap = (logps(step, rollout) - behaviour) * counted
        ratio = (gap[counted] if method == "ppo" else gap.sum(1)).exp()
        assert logged["policy/importance_weight"][step] == pytest.approx(float(ratio.clamp(max=2.0).mean()), rel=1e-3)
        assert logged["policy/importance_truncated"][step] == pytest.approx(float((ratio > 2.0).double().mean()))
        assert (float((ratio - 1.0).abs().max()) < 1e-3) == (step == 0)
    assert max(logged["policy/importance_truncated"]) > 0.0
    assert logged["rollout/staleness"] == logged["rollout/staleness_max"] == [0.0, 1.0, 2.0, 2.0]


def test_a_rollout_of_another_version_is_not_learnt_from(tmp_path: Path) -> None:
    policy = tiny.policy_of(tiny.fresh_model())

    def late(prompts: Any, **options: Any) -> Callable[[], list[Generation]]:
        """A sampler that never gets other weights than the first."""
        written = [replace(one, version=0) for one in policy.generate(prompts, **options)]
        return lambda: written

    policy.begin_elsewhere = late
    said = r"step 2: 8 of 8 responses were written by version 0 of the policy; expected 1 \(staleness 1\)"
    with pytest.raises(TrainingError, match=said):
        train("rloo", policy, tiny.run_in(tmp_path), staleness=1)
    assert [p.step for p in read_metrics(tmp_path / "metrics.jsonl").series("loss/policy", "train")] == [0, 1]
