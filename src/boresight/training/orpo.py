"""Odds-ratio preference optimisation (Hong et al. 2024): likelihood of the chosen response, and its odds."""

from collections.abc import Sequence

from torch import Tensor

from boresight.config.sections import ORPOStage
from boresight.data.tokenize import EncodedPair
from boresight.models.roles import Policy
from boresight.objectives.logprobs import logp_mean
from boresight.objectives.orpo import orpo_loss
from boresight.training.pair_loop import PairPiece, train_on_pairs
from boresight.training.run import Run
from boresight.training.step import MetricSums, share_right


def train_orpo(config: ORPOStage, policy: Policy, pairs: Sequence[EncodedPair], run: Run) -> None:
    """Train the policy on `pairs`; the loss is nats a pair, likelihood over the chosen response's tokens."""

    def losses(piece: PairPiece, sums: MetricSums) -> dict[str, Tensor]:
        chosen, rejected, batch = piece.chosen, piece.rejected, piece.batch
        terms = orpo_loss(
            policy_chosen_logp_mean=logp_mean(chosen.logp, chosen.mask),
            policy_rejected_logp_mean=logp_mean(rejected.logp, rejected.mask),
            odds_ratio_coefficient=config.odds_ratio_coefficient,
        )
        sums.add("loss/nll", terms.nll)
        sums.add("loss/preference", terms.preference)
        sums.add("policy/log_odds_ratio", terms.log_odds_ratio)
        sums.add("reward/accuracy", share_right(terms.log_odds_ratio, batch.p_chosen))
        return {"loss/total": batch.weight.to(terms.loss.device) * terms.loss}

    policy.model.train()
    train_on_pairs(config, policy, pairs, run, losses)
