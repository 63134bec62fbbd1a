"""Proximal policy optimisation from a reward model, in the order of Huang et al. 2024 (arXiv:2403.17031)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boresight.config.sections import PPOStage
from boresight.models.roles import FrozenPolicy, Policy, ValueModel
from boresight.objectives.advantages import explained_variance, gae, kl_shaped_reward
from boresight.objectives.aggregation import token_weights
from boresight.objectives.masking import masked_mean, masked_whiten
from boresight.objectives.ppo import ppo_policy_loss, ppo_value_loss
from boresight.records import Prompt
from boresight.training.experience import (
    Experience,
    KLCoefficient,
    RewardScale,
    check_starts_on_policy,
    experience_metrics,
    gather_experience,
    importance_weights,
    is_too_far,
    logged_samples,
    minibatch_rows,
    rollout_pieces,
    watch_over,
)
from boresight.training.guard import Guard
from boresight.training.reward_scale import stepwise_scale
from boresight.training.reward_sources import AnySource
from boresight.training.run import Run
from boresight.training.step import MetricSums, Updater


@dataclass(frozen=True)
class PPORoles:
    policy: Policy  # trained
    value: ValueModel  # trained
    reference: FrozenPolicy  # anchor of the KL term; always loaded from the artifact named in the manifest
    reward: AnySource  # frozen


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
    roles.value.model.eval()
    updates = config.ppo_epochs * config.minibatches
    policy_updater = Updater(
        [roles.policy.model], config, total=max(1, updates * (config.steps - config.value_warmup_steps))
    )
    value_updater = Updater(
        [roles.value.model], config, total=updates * config.steps, learning_rate=config.value_learning_rate
    )
    kl = KLCoefficient(config.kl_coefficient, target=config.target_kl_per_sequence, horizon=config.kl_horizon)
    scaling, scaling_state = stepwise_scale(config, scale)
    guard = Guard(config, run, kl)
    watch = watch_over(config, roles.policy, roles.reference, roles.reward)
    run.resume(
        policy=roles.policy.model,
        value=roles.value.model,
        policy_updater=policy_updater,
        value_updater=value_updater,
        kl_coefficient=kl,
        guard=guard,
        **scaling_state,
    )
    for step in run.steps(config.steps):
        experience = gather_experience(
            config, roles.policy, roles.reference, roles.reward, scaling, prompts, run, step, watch
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
            batch = as_batch(config, roles, experience, shaped)
        metrics = experience_metrics(experience, shaped, kl.value) | value_metrics(batch)
        with run.usage.phase("update"):
            metrics |= update(config, roles, batch, policy_updater, value_updater, run, step)
        kl.adapt(experience)
        run.log(step, metrics)
        run.log_samples(step, logged_samples(config, experience, shaped))
        guard.look(step)
        run.save_if_due(step)


@torch.no_grad()
def as_batch(config: PPOStage, roles: PPORoles, experience: Experience, shaped: Tensor) -> PPOBatch:
    """Advantages by GAE, whitened over the whole batch (biased variance); targets from before the whitening."""
    rollout = experience.rollout
    value = roles.value.predict(rollout.input_ids, rollout.response_mask)
    if config.whiten_rewards:
        shaped = masked_whiten(shaped, experience.mask, shift_mean=False)
    estimate = gae(shaped, value, experience.mask, gamma=config.gamma, gae_lambda=config.gae_lambda)
    advantage = masked_whiten(estimate.advantage, experience.mask, shift_mean=True)
    return PPOBatch(experience, value, advantage, estimate.target)


def update(
    config: PPOStage,
    roles: PPORoles,
    batch: PPOBatch,
    policy_updater: Updater,
    value_updater: Updater,
    run: Run,
    step: int,
) -> dict[str, float]:
    """`ppo_epochs` passes over the batch in random minibatches; the metrics average over all of them, by token."""
    sums = MetricSums()
    trains_policy = step >= config.value_warmup_steps
    skipped = 0
    rate = policy_updater.learning_rate
    norms: list[float] = []
    value_norms: list[float] = []
    for epoch in range(config.ppo_epochs):
        generator = run.generator(f"minibatches {epoch}", step)
        for rows in minibatch_rows(len(batch.value), config.minibatches, generator):
            ids = [batch.experience.rollout.prompts[int(row)].id for row in rows]
            tokens = int(batch.experience.mask[rows].sum())
            pieces = rollout_pieces(config, batch.experience.rollout, rows)
            for piece in pieces:
                value_loss = _value_loss(config, roles, batch, piece, sums)
                value_updater.accumulate({"loss/value": value_loss}, count=tokens, step=step, ids=ids)
            value_norms.append(value_updater.apply(step=step, ids=ids))
            if trains_policy and skipped:
                skipped += 1
                policy_updater.skip()
            elif trains_policy:
                weights = loss_weights(config, batch.experience, rows)
                moved = 0.0  # nats, k2 summed over the minibatch's tokens
                for piece in pieces:
                    losses, kl = _policy_losses(
                        config, roles, batch, piece, sums, first=not norms, step=step, weights=weights
                    )
                    policy_updater.accumulate(losses, count=tokens, step=step, ids=ids)
                    moved += kl
                if is_too_far(config, moved / tokens):
                    skipped = 1
                    policy_updater.skip()
                else:
                    norms.append(policy_updater.apply(step=step, ids=ids))
    metrics = sums.means() | {"optim/value_grad_norm": sum(value_norms) / len(value_norms)}
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


def _policy_losses(
    config: PPOStage,
    roles: PPORoles,
    batch: PPOBatch,
    rows: Tensor,
    sums: MetricSums,
    *,
    first: bool,
    step: int,
    weights: Tensor,
) -> tuple[dict[str, Tensor], float]:
    """The losses of a piece, and how far the policy has moved on it (nats, k2 summed over tokens)."""
    input_ids, response_mask = batch.experience.rollout.rows(rows)
    now = roles.policy.logps(
        input_ids, response_mask, temperature=config.temperature, with_entropy=config.entropy_coefficient > 0
    )
    width = now.mask.shape[1]
    terms = ppo_policy_loss(
        policy_logp=now.logp,
        old_logp=batch.experience.logp[rows, :width],
        advantage=batch.advantage[rows, :width],
        mask=now.mask,
        clip_range=config.clip_range,
    )
    if first:
        check_starts_on_policy(terms.ratio, step)
    tokens = float(now.mask.sum())
    sums.add("loss/policy", terms.loss, tokens)
    sums.add("policy/clip_fraction", terms.clipped, tokens)
    sums.add("policy/approximate_kl", terms.approximate_kl, tokens)
    sums.add("policy/ratio_mean", terms.ratio * now.mask, tokens)
    weight = weights[rows, :width]
    losses = {"loss/policy": terms.loss * weight}
    if now.entropy is not None and config.entropy_coefficient > 0:
        losses["policy/entropy"] = -config.entropy_coefficient * now.entropy * weight
    return losses, float(terms.approximate_kl.sum())


def _value_loss(config: PPOStage, roles: PPORoles, batch: PPOBatch, rows: Tensor, sums: MetricSums) -> Tensor:
    input_ids, response_mask = batch.experience.rollout.rows(rows)
    value = roles.value.predict(input_ids, response_mask)
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
