"""Proximal policy optimisation from a reward model, in the order of Huang et al. 2024 (arXiv:2403.17031)."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from boresight.config.sections import PPOStage
from boresight.models.backbone import TrunkValue
from boresight.models.response_logps import ResponseLogps
from boresight.models.roles import FrozenPolicy, Policy, ValueModel
from boresight.objectives.advantages import explained_variance, gae, kl_shaped_reward
from boresight.objectives.aggregation import token_weights
from boresight.objectives.masking import masked_mean, masked_whiten
from boresight.objectives.ppo import ppo_policy_loss, ppo_value_loss
from boresight.records import Prompt
from boresight.training.canary import canary_metrics
from boresight.training.experience import (
    Experience,
    KLCoefficient,
    RewardScale,
    Rollouts,
    check_starts_on_policy,
    experience_metrics,
    gather_experience,
    importance_weights,
    is_too_far,
    logged_samples,
    minibatch_rows,
    rollout_pieces,
    staleness_metrics,
    watch_over,
)
from boresight.training.guard import Guard
from boresight.training.processes import ALONE, Processes
from boresight.training.reward_scale import stepwise_scale
from boresight.training.reward_sources import AnySource
from boresight.training.run import Run
from boresight.training.shares import Shares
from boresight.training.step import MetricSums, Updater


@dataclass(frozen=True)
class PPORoles:
    """Who takes part; the types tell who is trained."""

    policy: Policy  # trained
    value: ValueModel | TrunkValue  # trained, by itself or with the policy whose states it reads
    reference: FrozenPolicy  # anchor of the KL term; always loaded from the artifact named in the manifest
    reward: AnySource  # frozen
    canary: AnySource | None = None  # frozen; scored beside the reward, and never paid


@dataclass(frozen=True, slots=True)
class PPOBatch:
    """An experience with what is learnt from it; grids are (responses, response tokens)."""

    experience: Experience
    value: Tensor  # of the value model that the rollout was made with
    advantage: Tensor  # whitened
    target: Tensor


def train_ppo(config: PPOStage, roles: PPORoles, scale: RewardScale, prompts: Sequence[Prompt], run: Run) -> None:
    """Train policy and value model for `config.steps` rollout batches; dropout is off throughout."""
    roles.policy.model.eval()
    roles.value.trained.eval()
    updaters = build_updaters(config, roles)
    kl = KLCoefficient(config.kl_coefficient, target=config.target_kl_per_sequence, horizon=config.kl_horizon)
    scaling, scaling_state = stepwise_scale(config, scale)
    guard = Guard(config, run, kl)
    rollouts = Rollouts(config, roles.policy, prompts, run)
    watch = watch_over(config, roles.policy, roles.reference, roles.reward)
    run.resume(
        policy=roles.policy.trained,
        value=roles.value.trained,
        kl_coefficient=kl,
        guard=guard,
        **updaters.by_name(),
        **scaling_state,
        **rollouts.state,
    )
    for step in run.steps(config.steps):
        experience = gather_experience(
            config, roles.policy, roles.reference, roles.reward, scaling, rollouts, run, step, watch
        )
        shaped = kl_shaped_reward(
            experience.score,
            experience.logp,
            experience.reference_logp,
            experience.mask,
            kl_coefficient=kl.value,
            estimator=config.kl_estimator,
        )
        with run.usage.phase("score"):
            batch = as_batch(config, roles, experience, shaped, run.processes)
            second_opinion = canary_metrics(config, roles.canary, experience, step)
        metrics = experience_metrics(experience, shaped, kl.value) | staleness_metrics(config, experience, step)
        metrics |= value_metrics(batch) | second_opinion
        with run.usage.phase("update"):
            metrics |= update(config, roles, batch, updaters, run, step)
        kl.adapt(experience)
        run.log(step, metrics)
        run.log_samples(step, logged_samples(config, experience, shaped))
        guard.look(step)
        run.save_if_due(step)


@dataclass(frozen=True)
class PPOUpdaters:
    policy: Updater  # of policy and value head together where they stand on one trunk
    value: Updater | None  # None there

    def by_name(self) -> dict[str, Updater]:
        named = {"policy_updater": self.policy}
        return named if self.value is None else named | {"value_updater": self.value}


def build_updaters(config: PPOStage, roles: PPORoles) -> PPOUpdaters:
    updates = config.ppo_epochs * config.minibatches
    if isinstance(roles.value, TrunkValue):
        both = [roles.policy.trained, roles.value.trained]
        return PPOUpdaters(Updater(both, config, total=updates * config.steps), None)
    resting = config.value_warmup_steps
    policy = Updater([roles.policy.trained], config, total=max(1, updates * (config.steps - resting)))
    rate = config.value_learning_rate
    value = Updater([roles.value.trained], config, total=updates * config.steps, learning_rate=rate)
    return PPOUpdaters(policy, value)


@torch.no_grad()
def as_batch(
    config: PPOStage, roles: PPORoles, experience: Experience, shaped: Tensor, processes: Processes = ALONE
) -> PPOBatch:
    """Advantages by GAE, whitened over the whole batch (biased variance); targets from before the whitening."""
    rollout = experience.rollout
    shares = Shares(processes, *roles.value.computing)
    value = shares.values(roles.value.predict, rollout.input_ids, rollout.response_mask)
    if config.whiten_rewards:
        shaped = masked_whiten(shaped, experience.mask, shift_mean=False)
    estimate = gae(shaped, value, experience.mask, gamma=config.gamma, gae_lambda=config.gae_lambda)
    advantage = masked_whiten(estimate.advantage, experience.mask, shift_mean=True)
    return PPOBatch(experience, value, advantage, estimate.target)


def update(
    config: PPOStage, roles: PPORoles, batch: PPOBatch, updaters: PPOUpdaters, run: Run, step: int
) -> dict[str, float]:
    """`ppo_epochs` passes over the batch in random minibatches; the metrics average over all of them, by token."""
    sums = MetricSums(run.processes)
    skipped = 0
    rate = updaters.policy.learning_rate
    norms: list[float] = []
    value_norms: list[float] = []
    for epoch in range(config.ppo_epochs):
        generator = run.generator(f"minibatches {epoch}", step)
        for rows in minibatch_rows(len(batch.value), config.minibatches, generator):
            minibatch = Minibatch.of(config, batch, rows, step, run.processes)
            one_trunk = updaters.value is None
            if updaters.value is not None:
                value_norms.append(_update_value(config, roles, minibatch, updaters.value, sums))
                if step < config.value_warmup_steps:
                    continue
            if skipped:
                skipped += 1
                updaters.policy.skip()
                continue
            change = _update_both if one_trunk else _update_policy
            norm = change(config, roles, minibatch, updaters.policy, sums, first=not norms)
            if norm is None:
                skipped = 1
            else:
                norms.append(norm)
    metrics = sums.means()
    if value_norms:
        metrics |= {"optim/value_grad_norm": sum(value_norms) / len(value_norms)}
    if config.stop_update_above_kl is not None:
        metrics["policy/skipped_minibatches"] = float(skipped)
    if norms:
        metrics |= {"optim/grad_norm": sum(norms) / len(norms), "optim/learning_rate": rate}
    return metrics


def loss_weights(config: PPOStage, experience: Experience, rows: Tensor) -> Tensor:
    """(responses, response tokens) weights of the policy's losses; those of the minibatch `rows` make up its mean."""
    weights = importance_weights(config, experience)
    weights[rows] *= token_weights(experience.rollout.lengths[rows], config.loss_aggregation).to(weights)[:, None]
    return weights


@dataclass(frozen=True, slots=True)
class Minibatch:
    """What one optimizer step learns from: rows of a batch, cut into what goes through the model at once."""

    batch: PPOBatch
    pieces: list[Tensor]  # row numbers, of this process
    weights: Tensor  # (responses, response tokens) of the policy's losses
    tokens: int  # response tokens of all processes' pieces, by which every loss is divided
    ids: list[str]
    step: int
    processes: Processes

    @classmethod
    def of(cls, config: PPOStage, batch: PPOBatch, rows: Tensor, step: int, processes: Processes) -> "Minibatch":
        rollout = batch.experience.rollout
        return cls(
            batch=batch,
            pieces=rollout_pieces(config, rollout, rows[processes.part(len(rows))]),
            weights=loss_weights(config, batch.experience, rows),
            tokens=int(batch.experience.mask[rows].sum()),
            ids=[rollout.prompts[int(row)].id for row in rows],
            step=step,
            processes=processes,
        )

    def own(self, compute: Callable[[Tensor, Tensor], Tensor]) -> Iterator[Tensor]:
        """The pieces of this process; `compute` makes something of a row for the others where they have more."""
        row = self.batch.experience.rollout.rows(torch.tensor([0]))
        return self.processes.in_step(self.pieces, lambda: compute(*row))

    def accumulate(self, updater: Updater, losses: dict[str, Tensor]) -> None:
        updater.accumulate(losses, count=self.tokens, step=self.step, ids=self.ids)

    def apply(self, updater: Updater) -> float:
        """The gradient norm of the step."""
        return updater.apply(step=self.step, ids=self.ids)

    def apply_where_near(self, updater: Updater, config: PPOStage, moved: float) -> float | None:
        """The same, but None and no step where the policy has gone too far from the one that sampled."""
        if is_too_far(config, self.processes.sums([moved])[0] / self.tokens):
            updater.skip()
            return None
        return self.apply(updater)


def _update_value(config: PPOStage, roles: PPORoles, minibatch: Minibatch, updater: Updater, sums: MetricSums) -> float:
    for piece in minibatch.own(roles.value.predict):
        value = roles.value.predict(*minibatch.batch.experience.rollout.rows(piece))
        minibatch.accumulate(updater, {"loss/value": _value_loss(config, minibatch.batch, piece, value, sums)})
    return minibatch.apply(updater)


def _update_policy(
    config: PPOStage, roles: PPORoles, minibatch: Minibatch, updater: Updater, sums: MetricSums, *, first: bool
) -> float | None:
    moved = 0.0  # nats, k2 summed over the minibatch's tokens
    for piece in minibatch.own(lambda *row: roles.policy.logps(*row).logp):
        now = roles.policy.logps(*minibatch.batch.experience.rollout.rows(piece), **_policy_options(config))
        losses, kl = _policy_losses(config, minibatch, piece, now, sums, first=first)
        minibatch.accumulate(updater, losses)
        moved += kl
    return minibatch.apply_where_near(updater, config, moved)


def _update_both(
    config: PPOStage, roles: PPORoles, minibatch: Minibatch, updater: Updater, sums: MetricSums, *, first: bool
) -> float | None:
    """One forward and backward pass for both losses, policy and value head standing on one trunk."""
    assert isinstance(roles.value, TrunkValue)
    trunk = roles.value
    moved = 0.0
    for piece in minibatch.own(lambda *row: _sum_of_both(*trunk.logps_and_values(*row))):
        rows = minibatch.batch.experience.rollout.rows(piece)
        now, value = trunk.logps_and_values(*rows, **_policy_options(config))
        losses, kl = _policy_losses(config, minibatch, piece, now, sums, first=first)
        moved += kl
        value_loss = _value_loss(config, minibatch.batch, piece, value, sums)
        minibatch.accumulate(updater, losses | {"loss/value": config.trunk_value_coefficient * value_loss})
    return minibatch.apply_where_near(updater, config, moved)


def _sum_of_both(now: ResponseLogps, value: Tensor) -> Tensor:
    return now.logp.sum() + value.sum()


def _policy_options(config: PPOStage) -> dict[str, Any]:
    return {"temperature": config.temperature, "with_entropy": config.entropy_coefficient > 0}


def _policy_losses(
    config: PPOStage, minibatch: Minibatch, rows: Tensor, now: ResponseLogps, sums: MetricSums, *, first: bool
) -> tuple[dict[str, Tensor], float]:
    """The losses of a piece, and how far the policy has moved on it (nats, k2 summed over tokens)."""
    batch = minibatch.batch
    width = now.mask.shape[1]
    terms = ppo_policy_loss(
        policy_logp=now.logp,
        old_logp=batch.experience.logp[rows, :width],
        advantage=batch.advantage[rows, :width],
        mask=now.mask,
        clip_range=config.clip_range,
    )
    if first:
        check_starts_on_policy(terms.ratio, minibatch.step)
    tokens = float(now.mask.sum())
    sums.add("loss/policy", terms.loss, tokens)
    sums.add("policy/clip_fraction", terms.clipped, tokens)
    sums.add("policy/approximate_kl", terms.approximate_kl, tokens)
    sums.add("policy/ratio_mean", terms.ratio * now.mask, tokens)
    weight = minibatch.weights[rows, :width]
    losses = {"loss/policy": terms.loss * weight}
    if now.entropy is not None and config.entropy_coefficient > 0:
        losses["policy/entropy"] = -config.entropy_coefficient * now.entropy * weight
    return losses, float(terms.approximate_kl.sum())


def _value_loss(config: PPOStage, batch: PPOBatch, rows: Tensor, value: Tensor, sums: MetricSums) -> Tensor:
    width = value.shape[1]
    mask = batch.experience.mask[rows, :width]
    terms = ppo_value_loss(
        value=value,
        old_value=batch.value[rows, :width],
        target=batch.target[rows, :width],
        mask=mask,
        clip_range=config.value_clip_range,
    )
    sums.add("loss/value", terms.loss, float(mask.sum()))
    sums.add("value/clip_fraction", terms.clipped, float(mask.sum()))
    return terms.loss


def value_metrics(batch: PPOBatch) -> dict[str, float]:
    """How well the value model foresaw this batch, and what the advantages were before whitening."""
    mask = batch.experience.mask
    raw = batch.target - batch.value  # the advantage before whitening
    mean = masked_mean(raw, mask)
    metrics = {
        "advantage/mean": float(mean),
        "advantage/deviation": float(masked_mean((raw - mean).square(), mask).sqrt()),
    }
    explained = float(explained_variance(value=batch.value, target=batch.target, mask=mask))
    return metrics if math.isnan(explained) else metrics | {"value/explained_variance": explained}
