"""Direct preference optimisation (Rafailov et al. 2023): the policy's log-ratios to a frozen reference as rewards."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from boresight.config.sections import DPOStage
from boresight.data.tokenize import EncodedPair
from boresight.errors import DataError
from boresight.models.response_logps import ResponseLogps
from boresight.models.roles import FrozenPolicy, Policy
from boresight.objectives.dpo import DPOTerms, dpo_loss, ipo_loss, robust_dpo_loss
from boresight.objectives.logprobs import logp_mean, logp_sum
from boresight.training.pair_loop import PairPiece, train_on_pairs
from boresight.training.pair_metrics import add_rewards
from boresight.training.reference_logps import reference_logp_sums, refuse_another_start
from boresight.training.run import Run
from boresight.training.step import MetricSums


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

    def losses(piece: PairPiece, sums: MetricSums) -> dict[str, Tensor]:
        chosen, rejected, batch = piece.chosen, piece.rejected, piece.batch
        reference_sums = reference_logps[piece.rows].to(chosen.logp.device)
        if piece.step == 0 and config.policy == config.reference:
            sides = [logp_sum(side.logp, side.mask) for side in (chosen, rejected)]
            refuse_another_start(torch.stack(sides, dim=1), reference_sums)
        terms = _preference_terms(config, chosen, rejected, reference_sums, batch.p_chosen)
        sums.add("loss/preference", terms.loss)
        add_rewards(sums, terms.chosen_reward, terms.rejected_reward, batch.p_chosen)
        weight = batch.weight.to(terms.loss.device)
        found = {"loss/preference": weight * terms.loss}
        if config.sft_coefficient > 0:
            nll = -logp_mean(chosen.logp, chosen.mask)
            sums.add("loss/nll", nll)  # logged in nats a token, without its coefficient
            found["loss/nll"] = config.sft_coefficient * weight * nll
        return found

    train_on_pairs(config, policy, pairs, run, losses)


def _preference_terms(
    config: DPOStage, chosen: ResponseLogps, rejected: ResponseLogps, reference: Tensor, p_chosen: Tensor
) -> DPOTerms:
    inputs = {
        "policy_chosen_logp_sum": logp_sum(chosen.logp, chosen.mask),
        "policy_rejected_logp_sum": logp_sum(rejected.logp, rejected.mask),
        "reference_chosen_logp_sum": reference[:, 0],
        "reference_rejected_logp_sum": reference[:, 1],
    }
    if config.log_ratio == "mean":
        inputs |= {"chosen_tokens": chosen.mask.sum(dim=1), "rejected_tokens": rejected.mask.sum(dim=1)}
    if config.loss == "ipo":
        return ipo_loss(**inputs, beta=config.beta)
    if config.loss == "robust":
        return robust_dpo_loss(**inputs, beta=config.beta, label_smoothing=config.label_smoothing)
    return dpo_loss(
        **inputs, beta=config.beta, p_chosen=p_chosen.to(reference.device), label_smoothing=config.label_smoothing
    )


def _refuse_soft_labels(loss: str, pairs: Sequence[EncodedPair]) -> None:
    soft = next((pair for pair in pairs if pair.p_chosen != 1.0), None)
    if soft is not None:
        raise DataError(
            f"pair {soft.id!r}: p_chosen is {soft.p_chosen:g}, a soft label, which the {loss} loss has no use for; "
            "expected 1. Use `loss: sigmoid`, or give hard labels."
        )
