"""REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024, arXiv:2402.14740): PPO without the value model."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boresight.config.sections import RLOOStage
from boresight.models.roles import FrozenPolicy, Policy
from boresight.objectives.advantages import kl_shaped_reward
from boresight.objectives.rloo import leave_one_out_advantage, rloo_loss
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
from boresight.training.reward_scale import stepwise_scale
from boresight.training.reward_sources import AnySource
from boresight.training.run import Run
from boresight.training.step import MetricSums, Updater


@dataclass(frozen=True)
class RLOORoles:
    """Who takes part; the types tell who is trained."""

    policy: Policy  # trained
    reference: FrozenPolicy  # anchor of the KL term
    reward: AnySource  # frozen
    canary: AnySource | None = None  # frozen; scored beside the reward, and never paid


def train_rloo(config: RLOOStage, roles: RLOORoles, scale: RewardScale, prompts: Sequence[Prompt], run: Run) -> None:
    """Train the policy for `config.steps` rollout batches; a whole response is one action. Dropout is off."""
    roles.policy.model.eval()
    updater = Updater([roles.policy.model], config, total=config.rloo_epochs * config.minibatches * config.steps)
    scaling, scaling_state = stepwise_scale(config, scale)
    kl = KLCoefficient(config.kl_coefficient, target=None, horizon=1.0)  # only the guard moves it
    guard = Guard(config, run, kl)
    rollouts = Rollouts(config, roles.policy, prompts, run)
    watch = watch_over(config, roles.policy, roles.reference, roles.reward)
    run.resume(
        policy=roles.policy.model, updater=updater, kl_coefficient=kl, guard=guard, **scaling_state, **rollouts.state
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
        reward = shaped.sum(dim=1).view(config.prompts_per_step, config.responses_per_prompt)
        advantage = leave_one_out_advantage(reward).flatten()  # (responses,)
        metrics = experience_metrics(experience, shaped, kl.value) | {
            "advantage/mean": float(advantage.mean()),
            "advantage/deviation": float(advantage.std(correction=0)),
        }
        metrics |= staleness_metrics(config, experience, step, whole_responses=True)
        with run.usage.phase("score"):
            metrics |= canary_metrics(config, roles.canary, experience, step)
        with run.usage.phase("update"):
            metrics |= update(config, roles.policy, experience, advantage, updater, run, step)
        run.log(step, metrics)
        run.log_samples(step, logged_samples(config, experience, shaped))
        guard.look(step)
        run.save_if_due(step)


def update(
    config: RLOOStage,
    policy: Policy,
    experience: Experience,
    advantage: Tensor,
    updater: Updater,
    run: Run,
    step: int,
) -> dict[str, float]:
    """`rloo_epochs` passes over the batch in random minibatches; ratios and clipping are those of whole responses."""
    sums = MetricSums(run.processes)
    norms: list[float] = []
    rate = updater.learning_rate
    weights = importance_weights(config, experience, whole_responses=True)
    a_row = experience.rollout.rows(torch.tensor([0]))
    skipped = 0
    for epoch in range(config.rloo_epochs):
        generator = run.generator(f"minibatches {epoch}", step)
        for rows in minibatch_rows(len(advantage), config.minibatches, generator):
            if skipped:
                skipped += 1
                updater.skip()
                continue
            ids = [experience.rollout.prompts[int(row)].id for row in rows]
            moved = 0.0  # nats, k2 over the tokens of the minibatch
            pieces = rollout_pieces(config, experience.rollout, rows[run.processes.part(len(rows))])
            for piece in run.processes.in_step(pieces, lambda: policy.logps(*a_row).logp):
                now = policy.logps(*experience.rollout.rows(piece), temperature=config.temperature)
                terms = rloo_loss(
                    policy_logp=now.logp,
                    old_logp=experience.logp[piece, : now.mask.shape[1]],
                    advantage=advantage[piece],
                    mask=now.mask,
                    clip_range=config.clip_range,
                )
                if not norms:
                    check_starts_on_policy(terms.ratio, step)
                updater.accumulate({"loss/policy": terms.loss * weights[piece]}, count=len(rows), step=step, ids=ids)
                moved += float(terms.approximate_kl.sum())
                sums.add("loss/policy", terms.loss)
                sums.add("policy/clip_fraction", terms.clipped.float())
                sums.add("policy/ratio_mean", terms.ratio)
                sums.add("policy/approximate_kl", terms.approximate_kl, float(now.mask.sum()))
            (moved,) = run.processes.sums([moved])
            if is_too_far(config, moved / int(experience.mask[rows].sum())):
                skipped += 1
                updater.skip()
            else:
                norms.append(updater.apply(step=step, ids=ids))
    metrics = sums.means()
    if norms:
        metrics |= {"optim/grad_norm": sum(norms) / len(norms), "optim/learning_rate": rate}
    return metrics if config.stop_update_above_kl is None else metrics | {"policy/skipped_minibatches": float(skipped)}
