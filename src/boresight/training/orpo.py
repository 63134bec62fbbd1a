"""Odds-ratio preference optimisation (Hong et al. 2024): likelihood of the chosen response, and its odds."""

from collections.abc import Sequence

from boresight.config.sections import ORPOStage
from boresight.data.batches import BatchOrder, collate_pairs
from boresight.data.tokenize import EncodedPair
from boresight.models.roles import Policy, pair_logps
from boresight.objectives.logprobs import logp_mean
from boresight.objectives.orpo import orpo_loss
from boresight.training.gradient_noise import GradientNoise
from boresight.training.micro_batches import pair_micro_batches
from boresight.training.pair_metrics import add_logps
from boresight.training.run import Run
from boresight.training.step import MetricSums, Updater, share_right


def train_orpo(config: ORPOStage, policy: Policy, pairs: Sequence[EncodedPair], run: Run) -> None:
    """Train the policy on `pairs`; the loss is nats a pair, likelihood over the chosen response's tokens."""
    policy.model.train()
    order = BatchOrder([pair.tokens for pair in pairs], config.batch_size, run.seed)
    total = order.steps(config.epochs)
    noise = GradientNoise() if config.gradient_noise_scale else None
    updater = Updater([policy.model], config, total=total, noise=noise)
    run.resume(policy=policy.model, updater=updater)
    for step in run.steps(total):
        rows = order.batch(step)
        sums = MetricSums(run.processes)
        for piece in run.processes.in_step(pair_micro_batches(config, pairs, run.processes.share(rows))):
            batch = collate_pairs([pairs[row] for row in piece])
            chosen, rejected = pair_logps(policy, batch)
            chosen_mean, rejected_mean = logp_mean(chosen.logp, chosen.mask), logp_mean(rejected.logp, rejected.mask)
            terms = orpo_loss(
                policy_chosen_logp_mean=chosen_mean,
                policy_rejected_logp_mean=rejected_mean,
                odds_ratio_coefficient=config.odds_ratio_coefficient,
            )
            losses = batch.weight.to(terms.loss.device) * terms.loss
            updater.accumulate({"loss/total": losses}, count=len(rows), step=step, ids=batch.ids)
            sums.add("loss/total", losses)
            sums.add("loss/nll", terms.nll)
            sums.add("loss/preference", terms.preference)
            sums.add("policy/log_odds_ratio", terms.log_odds_ratio)
            sums.add("reward/accuracy", share_right(terms.log_odds_ratio, batch.p_chosen))
            add_logps(sums, chosen, rejected)
        rate = updater.learning_rate
        norm = updater.apply(step=step, ids=[pairs[row].id for row in rows])
        metrics = {"optim/grad_norm": norm, "optim/learning_rate": rate, "data/epoch": order.epoch(step)}
        run.log(step, sums.means() | metrics | updater.noise_metrics())
        run.save_if_due(step)
