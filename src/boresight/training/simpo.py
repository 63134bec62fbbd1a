"""Simple preference optimisation (Meng et al. 2024): mean log-probabilities as rewards, held apart by a margin."""

from collections.abc import Sequence

from torch import Tensor

from boresight.config.sections import SimPOStage
from boresight.data.tokenize import EncodedPair
from boresight.models.roles import Policy
from boresight.objectives.dpo import simpo_loss
from boresight.objectives.logprobs import logp_mean
from boresight.training.pair_loop import PairPiece, train_on_pairs
from boresight.training.pair_metrics import add_rewards
from boresight.training.run import Run
from boresight.training.step import MetricSums


def train_simpo(config: SimPOStage, policy: Policy, pairs: Sequence[EncodedPair], run: Run) -> None:
    """Train the policy on `pairs`; the loss is nats a pair. Dropout is off, as in DPO."""

    def losses(piece: PairPiece, sums: MetricSums) -> dict[str, Tensor]:
        chosen, rejected, batch = piece.chosen, piece.rejected, piece.batch
        terms = simpo_loss(
            policy_chosen_logp_mean=logp_mean(chosen.logp, chosen.mask),
            policy_rejected_logp_mean=logp_mean(rejected.logp, rejected.mask),
            beta=config.beta,
            gamma=config.gamma,
            p_chosen=batch.p_chosen.to(chosen.logp.device),
        )
        add_rewards(sums, terms.chosen_reward, terms.rejected_reward, batch.p_chosen)
        return {"loss/total": batch.weight.to(terms.loss.device) * terms.loss}

    policy.model.eval()
    train_on_pairs(config, policy, pairs, run, losses)
