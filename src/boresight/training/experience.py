"""From a rollout to what the update learns from: log-probabilities, normalised scores, KL to the reference.

Shared by every method that samples from the policy while it trains it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from boresight.config.sections import PolicyStage
from boresight.errors import TrainingError
from boresight.models.precision import is_lowered
from boresight.models.roles import FrozenPolicy, Policy
from boresight.objectives.kl import adapt_kl_coefficient, k1
from boresight.objectives.masking import masked_mean, masked_sum
from boresight.records import Messages, Prompt
from boresight.training.rollout import Rollout, prompts_of_step, rollout_metrics, sample
from boresight.training.run import Run
from boresight.training.step import micro_batches

KL_AT_START_TOLERANCE = 1e-3  # nats a response, mean over the first batch; 0 but for rounding
RATIO_AT_START_TOLERANCE = 1e-3  # of any single token; 1 but for rounding
LOWERED_TOLERANCE = 0.3  # of both in bfloat16, where rows of another batch round otherwise
SMALLEST_DEVIATION = 1e-6  # reward units; what padding does to equal scores of float32 stays below


class RewardSource(Protocol):
    """A reward model, judge or rule: anything that scores response texts."""

    def score(self, prompts: Sequence[Messages], responses: Sequence[str]) -> Tensor:
        """(responses,) scores, higher is better."""
        ...


class RewardScale(NamedTuple):
    """Mean and deviation of raw scores over responses of the reference; the policy is paid (r - mean) / deviation."""

    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Experience:
    """Grids are (responses, response tokens), left-aligned, and hold 0 where `mask` is False."""

    rollout: Rollout
    mask: Tensor
    logp: Tensor  # of the policy that sampled, by the code that trains
    entropy: Tensor
    reference_logp: Tensor
    raw_score: Tensor  # (responses,) as the reward source gave it
    score: Tensor  # (responses,) normalised, with the penalty for a missing stop token


def measure_reward_scale(
    config: PolicyStage, reference: FrozenPolicy, reward: RewardSource, prompts: Sequence[Prompt], run: Run
) -> RewardScale:
    """Score responses of the reference to some prompts, so that a policy starts at mean 0 and deviation 1.

    Stiennon et al. 2020 and Ouyang et al. 2022 normalise likewise. (0, 1) where `normalize_reward` is off. The sample
    depends on the seed alone, so a resumed run finds the same scale.
    """
    if not config.normalize_reward:
        return RewardScale(0.0, 1.0)
    order = torch.randperm(len(prompts), generator=run.generator("normalization prompts"))
    rollout = sample(
        reference,
        [prompts[int(i)] for i in order[: config.normalization_prompts]],
        responses_per_prompt=1,
        temperature=config.temperature,
        max_new_tokens=config.max_new_tokens,
        generator=run.generator("normalization"),
    )
    scores = reward.score([p.messages for p in rollout.prompts], rollout.texts).double()
    deviation = float(scores.std(correction=0))
    if deviation < SMALLEST_DEVIATION:
        raise TrainingError(
            f"the reward source gave all {len(scores)} responses of the reference one score ({float(scores[0]):g}); "
            "nothing can be learnt from it. Look at its certificate, or give it prompts that it knows."
        )
    return RewardScale(float(scores.mean()), deviation)


@torch.no_grad()
def gather_experience(
    config: PolicyStage,
    policy: Policy,
    reference: FrozenPolicy,
    reward: RewardSource,
    scale: RewardScale,
    prompts: Sequence[Prompt],
    run: Run,
    step: int,
) -> Experience:
    """Sample the step's rollout and score it; every log-probability is taken at the sampling temperature."""
    rollout = sample(
        policy,
        prompts_of_step(prompts, config.prompts_per_step, run.seed, step),
        responses_per_prompt=config.responses_per_prompt,
        temperature=config.temperature,
        max_new_tokens=config.max_new_tokens,
        generator=run.generator("rollout", step),
    )
    ids, mask = rollout.input_ids, rollout.response_mask
    now = policy.logps(ids, mask, temperature=config.temperature, with_entropy=True)
    anchor = reference.logps(ids, mask, temperature=config.temperature)
    raw = reward.score([p.messages for p in rollout.prompts], rollout.texts).to(now.logp)
    normalized = (raw - scale.mean) / scale.deviation
    assert now.entropy is not None
    experience = Experience(
        rollout=rollout,
        mask=now.mask,
        logp=now.logp,
        entropy=now.entropy,
        reference_logp=anchor.logp,
        raw_score=raw,
        score=with_stop_penalty(normalized, rollout.stopped, config.missing_stop_penalty),
    )
    if step == 0 and config.policy == config.reference:
        check_starts_at_reference(experience)
    return experience


def with_stop_penalty(score: Tensor, stopped: Tensor, penalty: float | None) -> Tensor:
    """(responses,) scores in which -penalty stands in place of the score of every response that did not stop.

    Huang et al. 2024 call it the EOS trick; None leaves every score as it is.
    """
    return score if penalty is None else torch.where(stopped, score, -penalty)


def check_starts_at_reference(experience: Experience) -> None:
    """At the first step the policy is the reference: a KL other than 0 means another template, dtype or weights."""
    kl = float(kl_per_sequence(experience).abs().mean())
    if kl > (LOWERED_TOLERANCE if is_lowered(experience.logp.device.type) else KL_AT_START_TOLERANCE):
        raise TrainingError(
            f"step 0: KL to the reference is {kl:.2g} nats a response although the policy starts as the reference; "
            "expected 0. The reference was loaded with another template, dtype or weights: nothing was trained."
        )


def check_starts_on_policy(ratio: Tensor, step: int) -> None:
    """Before the first update of a batch the policy is the one that sampled: every ratio is 1 (also under the mask)."""
    gap = float((ratio - 1.0).abs().max())
    if gap > (LOWERED_TOLERANCE if is_lowered(ratio.device.type) else RATIO_AT_START_TOLERANCE):
        raise TrainingError(
            f"step {step}: before the first update the policy's ratio to the sampler is off by up to {gap:.2g}; "
            "expected 1. Dropout, another temperature or other weights came between sampling and training."
        )


def kl_per_sequence(experience: Experience) -> Tensor:
    """(responses,) k1 estimate of KL(policy || reference), nats a response."""
    kl = k1(policy_logp=experience.logp, reference_logp=experience.reference_logp, mask=experience.mask)
    return masked_sum(kl, experience.mask, -1)


def experience_metrics(experience: Experience, shaped: Tensor, kl_coefficient: float) -> dict[str, float]:
    """What the batch says about the policy before it is updated; `shaped` is (responses, response tokens)."""
    kl = kl_per_sequence(experience)
    return rollout_metrics(experience.rollout) | {
        "reward/score": float(experience.raw_score.double().mean()),
        "reward/score_normalized": float(experience.score.double().mean()),
        "reward/shaped": float(shaped.sum(dim=1).double().mean()),
        "policy/kl_to_reference": float(kl.double().mean()),
        "policy/kl_per_token": float(kl.sum() / experience.mask.sum()),
        "policy/kl_coefficient": kl_coefficient,
        "policy/entropy": float(masked_mean(experience.entropy, experience.mask)),
    }


class KLCoefficient:
    """Fixed, or steered towards a target (Ziegler et al. 2019); its value is part of the checkpoint."""

    def __init__(self, start: float, *, target: float | None, horizon: float) -> None:
        self.value = start
        self._target = target
        self._horizon = horizon

    def adapt(self, experience: Experience) -> None:
        if self._target is not None:
            self.value = adapt_kl_coefficient(
                self.value,
                kl_per_sequence=float(kl_per_sequence(experience).mean()),
                target_kl_per_sequence=self._target,
                responses=len(experience.raw_score),
                horizon=self._horizon,
            )

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.value = state["value"]


def minibatch_rows(responses: int, minibatches: int, generator: torch.Generator) -> list[Tensor]:
    """A random cut of the batch into equal parts (the config checks that it divides), each in the batch's order: what
    answers one prompt stays together."""
    return [rows.sort().values for rows in torch.randperm(responses, generator=generator).chunk(minibatches)]


def rollout_pieces(config: PolicyStage, rollout: Rollout, rows: Tensor) -> list[Tensor]:
    """A minibatch cut into what goes through the model at once."""
    tokens = rollout.row_tokens[rows].tolist()
    pieces = micro_batches(rows.tolist(), size=None, tokens=tokens, budget=config.micro_batch_tokens)
    return [torch.tensor(piece) for piece in pieces]
