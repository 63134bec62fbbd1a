"""The loop over preference pairs that DPO, ORPO and SimPO have in common; each brings its losses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boresight.config.preference_stages import PreferenceStage
from boresight.data.batches import BatchOrder, PreferenceBatch, collate_pairs
from boresight.data.tokenize import EncodedPair
from boresight.models.response_logps import ResponseLogps
from boresight.models.roles import Policy, pair_logps
from boresight.training.gradient_noise import GradientNoise
from boresight.training.micro_batches import pair_micro_batches
from boresight.training.pair_metrics import add_logps
from boresight.training.run import Run
from boresight.training.step import MetricSums, Updater


@dataclass(frozen=True, slots=True)
class PairPiece:
    """Pairs of one step that are computed together, and the policy's log-probabilities of both sides."""

    step: int
    rows: Sequence[int]  # their places among all pairs
    batch: PreferenceBatch
    chosen: ResponseLogps
    rejected: ResponseLogps


PairLosses = Callable[[PairPiece, MetricSums], Mapping[str, Tensor]]
"""From a piece its losses by name, (pairs,) each and unreduced; what else is worth logging goes into the sums."""


def train_on_pairs(
    config: PreferenceStage, policy: Policy, pairs: Sequence[EncodedPair], run: Run, losses_of: PairLosses
) -> None:
    """Train the policy, in the mode that it is in, on the sum of its losses, nats a pair."""
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
            losses = losses_of(PairPiece(step, piece, batch, chosen, rejected), sums)
            updater.accumulate(losses, count=len(rows), step=step, ids=batch.ids)
            sums.add("loss/total", torch.stack(list(losses.values())).sum(dim=0))
            add_logps(sums, chosen, rejected)
        rate = updater.learning_rate
        norm = updater.apply(step=step, ids=[pairs[row].id for row in rows])
        metrics = {"optim/grad_norm": norm, "optim/learning_rate": rate, "data/epoch": order.epoch(step)}
        run.log(step, sums.means() | metrics | updater.noise_metrics())
        run.save_if_due(step)
