"""Simple preference optimisation (Meng et al. 2024): mean log-probabilities as rewards, held apart by a margin."""

from collections.abc import Sequence

from boresight.config.sections import SimPOStage
from boresight.data.batches import BatchOrder, collate_pairs
from boresight.data.tokenize import EncodedPair
from boresight.models.roles import Policy, pair_logps
from boresight.objectives.dpo import simpo_loss
from boresight.objectives.logprobs import logp_mean
from boresight.training.gradient_noise import GradientNoise
from boresight.training.micro_batches import pair_micro_batches
from boresight.training.pair_metrics import add_logps, add_rewards
from boresight.training.run import Run
from boresight.training.step import MetricSums, Updater


def train_simpo(config: SimPOStage, policy: Policy, pairs: Sequence[EncodedPair], run: Run) -> None:
    """Train the policy on `pairs`; the loss is nats a pair. Dropout is off, as in DPO."""
    policy.model.eval()
    order = BatchOrder([pair.tokens for pair in pairs], config.batch_size, run.seed)
    total = order.steps(config.epochs)
    noise = GradientNoise() if config.gradient_noise_scale else None
    updater = Updater([policy.model], config, total=total, noise=noise)
    run.resume(policy=policy.model, updater=updater)
    for step in run.steps(total):
        rows = order.batch(step)
        sums = MetricSums()
        for piece in pair_micro_batches(config, pairs, rows):
            batch = collate_pairs([pairs[row] for row in piece])
            chosen, rejected = pair_logps(policy, batch)
            terms = simpo_loss(
                policy_chosen_logp_mean=logp_mean(chosen.logp, chosen.mask),
                policy_rejected_logp_mean=logp_mean(rejected.logp, rejected.mask),
                beta=config.beta,
                gamma=config.gamma,
                p_chosen=batch.p_chosen.to(chosen.logp.device),
            )
            losses = batch.weight.to(terms.loss.device) * terms.loss
            updater.accumulate({"loss/total": losses}, count=len(rows), step=step, ids=batch.ids)
            sums.add("loss/total", losses)
            add_rewards(sums, terms.chosen_reward, terms.rejected_reward, batch.p_chosen)
            add_logps(sums, chosen, rejected)
        rate = updater.learning_rate
        norm = updater.apply(step=step, ids=[pairs[row].id for row in rows])
        metrics = {"optim/grad_norm": norm, "optim/learning_rate": rate, "data/epoch": order.epoch(step)}
        run.log(step, sums.means() | metrics | updater.noise_metrics())
        run.save_if_due(step)
