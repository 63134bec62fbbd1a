"""Direct preference optimisation (Rafailov et al. 2023): the policy's log-ratios to a frozen reference as rewards."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from boresight.config.sections import DPOStage
from boresight.data.batches import BatchOrder, PreferenceBatch, collate_pairs
from boresight.data.tokenize import EncodedPair
from boresight.errors import DataError, TrainingError
from boresight.models.precision import is_lowered
from boresight.models.roles import FrozenPolicy, Policy, pair_logps
from boresight.objectives.dpo import DPOTerms, dpo_loss, ipo_loss, robust_dpo_loss
from boresight.objectives.logprobs import logp_mean, logp_sum
from boresight.training.reference_logps import reference_logp_sums
from boresight.training.run import Run
from boresight.training.step import MetricSums, Updater, pair_micro_batches, share_right

STEP_ZERO_TOLERANCE = 1e-3  # nats a sequence; rounding of float32 over a few hundred tokens stays far below
LOWERED_TOLERANCE = 1.0  # the same in bfloat16, where rows of another batch round otherwise


def train_dpo(
    config: DPOStage,
    policy: Policy,
    reference: FrozenPolicy,
    pairs: Sequence[EncodedPair],
    run: Run,
    cache: Path | None = None,
) -> None:
    """Train the policy on `pairs`; the loss is nats a pair. The reference's log-probabilities are computed once, and
    kept in the folder `cache` for other runs from the same reference and pairs.

    Dropout is off. Where the policy starts as the reference, the first step must show log-ratios of zero (a loss of
    log 2 with the sigmoid loss): anything else means a wrong reference, template or mask, and stops the run.
    """
    if config.loss != "sigmoid":
        _refuse_soft_labels(config.loss, pairs)
    policy.model.eval()
    reference_logps = reference_logp_sums(reference, pairs, cache, run.processes)
    order = BatchOrder([pair.tokens for pair in pairs], config.batch_size, run.seed)
    total = order.steps(config.epochs)
    updater = Updater([policy.model], config, total=total)
    run.resume(policy=policy.model, updater=updater)
    for step in run.steps(total):
        rows = order.batch(step)
        sums = MetricSums(run.processes)
        for piece in run.processes.in_step(pair_micro_batches(config, pairs, run.processes.share(rows))):
            batch = collate_pairs([pairs[row] for row in piece])
            losses, terms = _losses(config, policy, batch, reference_logps[piece], sums)
            if step == 0 and config.policy == config.reference:
                _check_starts_at_reference(terms, config.beta)
            updater.accumulate(losses, count=len(rows), step=step, ids=batch.ids)
            sums.add("loss/total", torch.stack(list(losses.values())).sum(dim=0))
            sums.add("reward/chosen", terms.chosen_reward)
            sums.add("reward/rejected", terms.rejected_reward)
            sums.add("reward/margin", terms.chosen_reward - terms.rejected_reward)
            sums.add("reward/accuracy", share_right(terms.chosen_reward - terms.rejected_reward))
        rate = updater.learning_rate
        norm = updater.apply(step=step, ids=[pairs[row].id for row in rows])
        metrics = {"optim/grad_norm": norm, "optim/learning_rate": rate, "data/epoch": order.epoch(step)}
        run.log(step, sums.means() | metrics)
        run.save_if_due(step)


def _losses(
    config: DPOStage, policy: Policy, batch: PreferenceBatch, reference: Tensor, sums: MetricSums
) -> tuple[dict[str, Tensor], DPOTerms]:
    chosen, rejected = pair_logps(policy, batch)
    sides = logp_sum(chosen.logp, chosen.mask), logp_sum(rejected.logp, rejected.mask)
    terms = _preference_terms(config, *sides, reference.to(sides[0].device), batch.p_chosen.to(sides[0].device))
    chosen_mean = logp_mean(chosen.logp, chosen.mask)
    sums.add("policy/chosen_logp_mean", chosen_mean)
    sums.add("policy/rejected_logp_mean", logp_mean(rejected.logp, rejected.mask))
    losses = {"loss/preference": terms.loss}
    sums.add("loss/preference", terms.loss)
    if config.sft_coefficient > 0:
        losses["loss/nll"] = -config.sft_coefficient * chosen_mean
        sums.add("loss/nll", -chosen_mean)  # logged in nats a token, without its coefficient
    return losses, terms


def _preference_terms(
    config: DPOStage, chosen: Tensor, rejected: Tensor, reference: Tensor, p_chosen: Tensor
) -> DPOTerms:
    sums = {
        "policy_chosen_logp_sum": chosen,
        "policy_rejected_logp_sum": rejected,
        "reference_chosen_logp_sum": reference[:, 0],
        "reference_rejected_logp_sum": reference[:, 1],
    }
    if config.loss == "ipo":
        return ipo_loss(**sums, beta=config.beta)
    if config.loss == "robust":
        return robust_dpo_loss(**sums, beta=config.beta, label_smoothing=config.label_smoothing)
    return dpo_loss(**sums, beta=config.beta, p_chosen=p_chosen, label_smoothing=config.label_smoothing)


def _check_starts_at_reference(terms: DPOTerms, beta: float) -> None:
    gap = float(torch.stack([terms.chosen_reward, terms.rejected_reward]).abs().max()) / beta
    if gap > (LOWERED_TOLERANCE if is_lowered(terms.loss.device.type) else STEP_ZERO_TOLERANCE):
        raise TrainingError(
            f"step 0: the policy's log-probabilities differ from the reference's by up to {gap:.2g} nats a response, "
            "although both start from the same model; expected 0. The reference was loaded with another template, "
            "dtype or weights: nothing was trained."
        )


def _refuse_soft_labels(loss: str, pairs: Sequence[EncodedPair]) -> None:
    soft = next((pair for pair in pairs if pair.p_chosen != 1.0), None)
    if soft is not None:
        raise DataError(
            f"pair {soft.id!r}: p_chosen is {soft.p_chosen:g}, a soft label, which the {loss} loss has no use for; "
            "expected 1. Use `loss: sigmoid`, or give hard labels."
        )
