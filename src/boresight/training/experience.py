"""From a rollout to what the update learns from: log-probabilities, normalised scores, KL to the reference.

Shared by every method that samples from the policy while it trains it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from boresight.config.sections import PolicyStage
from boresight.errors import BoresightError, DataError, ServiceError, TrainingError
from boresight.feedback.rule_judge import hits
from boresight.feedback.rule_judge import score as rule_score
from boresight.models.precision import is_lowered
from boresight.models.roles import FrozenPolicy, Policy
from boresight.objectives.importance import importance_shares, sampler_gap, truncated_importance
from boresight.objectives.kl import adapt_kl_coefficient, k1
from boresight.objectives.masking import masked_mean, masked_sum
from boresight.objectives.reward_shaping import with_stop_penalty as with_stop_penalty
from boresight.records import Prompt
from boresight.training.invariants import Watch
from boresight.training.micro_batches import micro_batches
from boresight.training.reward_scale import RewardScale as RewardScale
from boresight.training.reward_scale import Scale, priced_scores
from boresight.training.reward_scale import measure_reward_scale as measure_reward_scale
from boresight.training.reward_sources import AnySource, require_finite_scores, scores_of
from boresight.training.reward_sources import RewardSource as RewardSource
from boresight.training.rollout import Rollout, rollout_metrics
from boresight.training.run import Run
from boresight.training.shares import Shares
from boresight.training.staleness import Rollouts as Rollouts

KL_AT_START_TOLERANCE = 1e-3  # nats a response, mean over the first batch; 0 but for rounding
RATIO_AT_START_TOLERANCE = 1e-3  # of any single token; 1 but for rounding
LOWERED_TOLERANCE = 0.3  # of both in bfloat16, where rows of another batch round otherwise


@dataclass(frozen=True, slots=True)
class Experience:
    """Grids are (responses, response tokens), left-aligned, and hold 0 where `mask` is False."""

    rollout: Rollout
    mask: Tensor
    logp: Tensor  # of the policy that sampled, by the code that trains
    entropy: Tensor
    reference_logp: Tensor
    raw_score: Tensor  # (responses,) as the reward source gave it
    score: Tensor  # (responses,) after the cost of length, normalised, with the penalty for a missing stop


@torch.no_grad()
def gather_experience(
    config: PolicyStage,
    policy: Policy,
    reference: FrozenPolicy,
    reward: AnySource,
    scale: Scale,
    rollouts: Rollouts,
    run: Run,
    step: int,
    watch: Watch | None = None,
) -> Experience:
    """Take the step's rollout and score it; every log-probability is taken at the sampling temperature."""
    with run.usage.phase("generate"), run.saved_before(ServiceError, step):
        rollout = rollouts.of(step)
    run.usage.count_tokens(int(rollout.lengths.sum()))
    with run.usage.phase("score"):
        ids, mask = rollout.input_ids, rollout.response_mask
        shares = Shares(run.processes, policy.model)
        now = shares.logps(policy.logps, ids, mask, temperature=config.temperature, with_entropy=True)
        anchor = reference.logps(ids, mask, temperature=config.temperature)
        with run.saved_before(BoresightError, step):
            raw = scores_of(reward, rollout).to(now.logp)
            require_finite_scores(raw, rollout, f"step {step}")
        if watch is not None:
            watch.check(rollout, raw, run, step)
    normalized = scale.normalize(priced_scores(config, raw, rollout))
    if step == 0:
        check_stopping_pays(config, normalized, rollout.stopped)
    assert now.entropy is not None
    experience = Experience(
        rollout=rollout,
        mask=now.mask,
        logp=now.logp,
        entropy=now.entropy,
        reference_logp=anchor.logp,
        raw_score=raw,
        score=with_stop_penalty(normalized, rollout.stopped, config.missing_stop_penalty, config.missing_stop),
    )
    if step == 0 and config.policy == config.reference:
        check_starts_at_reference(experience)
    return experience


def check_starts_at_reference(experience: Experience) -> None:
    """At the first step the policy is the reference: a KL other than 0 means another template, dtype or weights."""
    kl = float(kl_per_sequence(experience).abs().mean())
    if kl > (LOWERED_TOLERANCE if is_lowered(experience.logp.device.type) else KL_AT_START_TOLERANCE):
        raise TrainingError(
            f"step 0: KL to the reference is {kl:.2g} nats a response although the policy starts as the reference; "
            "expected 0. The reference was loaded with another template, dtype or weights: nothing was trained."
            " Give the reference the policy's chat template and dtype, or begin both from one stage."
        )


def check_stopping_pays(config: PolicyStage, normalized: Tensor, stopped: Tensor) -> None:
    """Raise TrainingError where what stands in place of a score without a stop is more than responses (responses,) that
    stopped are given in the mean. Scales with the policy's own mean at 0 are let be: there only chance does that."""
    penalty, scale = config.missing_stop_penalty, config.reward_scale
    if config.missing_stop != "replace" or penalty is None or scale in ("reference", "running") or not stopped.any():
        return
    mean = float(normalized[stopped].double().mean())
    if mean < -penalty:
        raise TrainingError(
            f"step 0: responses that stop have a mean score of {mean:.3g} (reward_scale: {scale}), and one that does "
            f"not would be given {-penalty:g} in place of its own (missing_stop: replace): the policy would learn not "
            f"to stop. Nothing was trained. Set missing_stop_penalty well above {-mean:.3g}, missing_stop: subtract, "
            "or reward_scale: reference."
        )


def check_starts_on_policy(ratio: Tensor, step: int) -> None:
    """Raise TrainingError unless every ratio is 1 (any shape, also under the mask): before the first update of a batch
    the policy is the one that sampled."""
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
    gap = sampler_gap(policy_logp=experience.logp, sampler_logp=experience.rollout.sampler_logp, mask=experience.mask)
    return rollout_metrics(experience.rollout) | {
        "policy/sampler_kl": float(gap.kl),
        "policy/sampler_effective_share": float(gap.effective_share),
        "reward/score": float(experience.raw_score.double().mean()),
        "reward/score_normalized": float(experience.score.double().mean()),
        "reward/shaped": float(shaped.sum(dim=1).double().mean()),
        "policy/kl_to_reference": float(kl.double().mean()),
        "policy/kl_per_token": float(kl.sum() / experience.mask.sum()),
        "policy/kl_coefficient": kl_coefficient,
        "policy/entropy": float(masked_mean(experience.entropy, experience.mask)),
    }


def watch_over(config: PolicyStage, policy: Policy, reference: FrozenPolicy, reward: AnySource) -> Watch:
    """What looks after the invariants of a loop."""
    return Watch(
        policy,
        reference,
        reward,
        temperature=config.temperature,
        max_new_tokens=config.max_new_tokens,
        stop=config.stop,
    )


def is_too_far(config: PolicyStage, approximate_kl: float) -> bool:
    """Whether a minibatch finds the policy so far from the sampler (nats a token) that the step's updates end."""
    return config.stop_update_above_kl is not None and approximate_kl > config.stop_update_above_kl


def importance_weights(config: PolicyStage, experience: Experience, *, whole_responses: bool = False) -> Tensor:
    """What the gap between sampler and trainer makes of a loss: (responses, response tokens), or (responses,) where a
    whole response is the action; 1 without a correction."""
    grids = _compared(experience, whole_responses)
    if config.correction == "none":
        return torch.ones_like(grids["policy_logp"])
    return truncated_importance(**grids, cap=config.importance_cap)


def staleness_metrics(
    config: PolicyStage, experience: Experience, step: int, *, whole_responses: bool = False
) -> dict[str, float]:
    """How old the weights are that wrote the batch, and what the correction makes of its gap to the trainer."""
    metrics: dict[str, float] = {}
    if config.staleness:
        age = step - experience.rollout.versions
        metrics |= {"rollout/staleness": float(age.double().mean()), "rollout/staleness_max": float(age.max())}
    if config.correction != "none":
        shares = importance_shares(**_compared(experience, whole_responses), cap=config.importance_cap)
        metrics |= {"policy/importance_weight": float(shares.mean)}
        metrics |= {"policy/importance_truncated": float(shares.truncated)}
    return metrics


def _compared(experience: Experience, whole_responses: bool) -> dict[str, Tensor]:
    """Log-probabilities of trainer and sampler, and where they count: by token, or by response."""
    mask = experience.mask
    grids = {"policy_logp": experience.logp, "sampler_logp": experience.rollout.sampler_logp}
    if not whole_responses:
        return grids | {"mask": mask}
    return {name: masked_sum(grid, mask, 1) for name, grid in grids.items()} | {"mask": mask.any(1)}


def logged_samples(config: PolicyStage, experience: Experience, shaped: Tensor) -> list[dict[str, Any]]:
    """Some responses of a batch as records: what was asked, what was answered, what it was paid: `shaped`, (responses,
    tokens). Of each prompt one before any has a second one."""
    rollout, paid = experience.rollout, shaped.sum(dim=1)
    each = config.responses_per_prompt
    order = [row for place in range(each) for row in range(place, len(rollout.texts), each)]
    kl = kl_per_sequence(experience)
    return [
        {
            "prompt": rollout.prompts[row].id,
            **({"kind": rollout.prompts[row].kind} if rollout.prompts[row].kind else {}),
            "response": rollout.texts[row],
            **_by_rules(rollout.prompts[row], rollout.texts[row], bool(rollout.stopped[row])),
            "tokens": int(rollout.lengths[row]),
            "stopped": bool(rollout.stopped[row]),
            "score": float(experience.raw_score[row]),
            "score_normalized": float(experience.score[row]),
            "kl": float(kl[row]),
            "shaped_reward": float(paid[row]),
        }
        for row in order[: config.logged_samples]
    ]


def _by_rules(prompt: Prompt, text: str, stopped: bool) -> dict[str, Any]:
    """What the rules of a prompt say of a response, where it has any: they need not be what it is paid by."""
    if "rules" not in (prompt.expect or {}):
        return {}
    try:
        return {"rule_score": rule_score(prompt, text, stopped), "measures": hits(prompt, text, stopped)}
    except DataError:
        return {}  # rules that cannot be used are told where they are what pays; here they are a by-product


class KLCoefficient:
    """Fixed, or steered towards a target (Ziegler et al. 2019); its value is part of the checkpoint."""

    def __init__(self, start: float, *, target: float | None, horizon: float) -> None:
        self.value = start
        self._target = target
        self._horizon = horizon

    def adapt(self, experience: Experience) -> None:
        """Take a step towards the target by the KL of a batch; a fixed coefficient stays."""
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
    """A random cut of the batch into equal parts (the config checks that it divides), each (responses / minibatches,)
    row numbers in the batch's order: what answers one prompt stays together."""
    return [rows.sort().values for rows in torch.randperm(responses, generator=generator).chunk(minibatches)]


def rollout_pieces(config: PolicyStage, rollout: Rollout, rows: Tensor) -> list[Tensor]:
    """The rows (n,) of a minibatch, cut into what goes through the model at once."""
    tokens = rollout.row_tokens[rows].tolist()
    pieces = micro_batches(rows.tolist(), size=None, tokens=tokens, budget=config.micro_batch_tokens)
    return [torch.tensor(piece) for piece in pieces]
