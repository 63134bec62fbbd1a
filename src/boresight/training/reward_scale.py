"""Scores shifted and scaled before a policy is paid by them, so that a KL coefficient means the same everywhere."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from boresight.config.sections import PolicyStage
from boresight.errors import TrainingError
from boresight.models.roles import FrozenPolicy
from boresight.objectives.moments import Moments, merge_moments, moments_of
from boresight.objectives.reward_shaping import with_length_cost
from boresight.records import Prompt
from boresight.training.reward_sources import AnySource, require_finite_scores, scores_of
from boresight.training.rollout import Rollout, sample
from boresight.training.run import Run

SMALLEST_DEVIATION = 1e-6  # reward units; what padding does to equal scores of float32 stays below


class Scale(Protocol):
    """How scores are shifted and scaled before they are a reward."""

    def normalize(self, score: Tensor) -> Tensor:
        """(responses,) scores of a step in units of the policy's reward."""
        ...


class RewardScale(NamedTuple):
    """A mean and deviation of raw scores that stay; the policy is paid (r - mean) / deviation."""

    mean: float
    deviation: float

    def normalize(self, score: Tensor) -> Tensor:
        return (score - self.mean) / self.deviation


class RunningScale:
    """Mean and deviation of all scores of the run so far, this step's among them; part of the checkpoint."""

    def __init__(self) -> None:
        self.moments = Moments(0, 0.0, 0.0)

    def normalize(self, score: Tensor) -> Tensor:
        self.moments = merge_moments(self.moments, moments_of(score))
        deviation = self.moments.deviation
        return (score - self.moments.mean) / (deviation if deviation >= SMALLEST_DEVIATION else 1.0)

    def state_dict(self) -> dict[str, Any]:
        return self.moments._asdict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.moments = Moments(**state)


def stepwise_scale(config: PolicyStage, measured: RewardScale) -> tuple[Scale, dict[str, RunningScale]]:
    """The scale of a training loop, and what of it belongs into the checkpoint."""
    if config.reward_scale != "running":
        return measured, {}
    running = RunningScale()
    return running, {"reward_scale": running}


def priced_scores(config: PolicyStage, raw: Tensor, rollout: Rollout) -> Tensor:
    """(responses,) scores after what the stage makes length cost, before they are scaled."""
    return with_length_cost(
        raw,
        rollout.lengths.to(raw),
        penalty=config.length_penalty,
        free_tokens=config.length_penalty_from,
        normalized=config.length_normalized_reward,
    )


def measure_reward_scale(
    config: PolicyStage, reference: FrozenPolicy, reward: AnySource, prompts: Sequence[Prompt], run: Run
) -> RewardScale:
    """Score responses of the reference to some prompts, so that a policy starts at mean 0 and deviation 1.

    Stiennon et al. 2020 and Ouyang et al. 2022 normalise likewise. (0, 1) where `reward_scale` is another way. The
    sample depends on the seed alone, so a resumed run finds the same scale. Raises TrainingError where all scores are
    equal.
    """
    if config.reward_scale != "reference":
        return RewardScale(0.0, 1.0)
    order = torch.randperm(len(prompts), generator=run.generator("normalization prompts"))
    rollout = sample(
        reference,
        [prompts[int(i)] for i in order[: config.normalization_prompts]],
        responses_per_prompt=1,
        temperature=config.temperature,
        max_new_tokens=config.max_new_tokens,
        generator=run.generator("normalization"),
        stop_strings=config.stop,
    )
    raw = scores_of(reward, rollout)
    require_finite_scores(raw, rollout, "before the first step")
    scores = priced_scores(config, raw, rollout).double()
    deviation = float(scores.std(correction=0))
    if deviation < SMALLEST_DEVIATION:
        raise TrainingError(
            f"the reward source gave all {len(scores)} responses of the reference one score ({float(scores[0]):g}); "
            "nothing can be learnt from it. Look at its certificate, or give it prompts that it knows."
        )
    return RewardScale(float(scores.mean()), deviation)
