"""What every loop over preference pairs logs of them: log-probabilities of both sides, rewards, margin, accuracy."""

from torch import Tensor

from boresight.models.response_logps import ResponseLogps
from boresight.objectives.logprobs import logp_mean, logp_sum
from boresight.training.step import MetricSums, share_right


def add_logps(sums: MetricSums, chosen: ResponseLogps, rejected: ResponseLogps) -> None:
    """Log-probabilities a response (sums) and a token (means of each response's own), averaged over pairs."""
    for name, side in (("chosen", chosen), ("rejected", rejected)):
        sums.add(f"policy/{name}_logp_mean", logp_mean(side.logp, side.mask))
        sums.add(f"policy/{name}_logp_sum", logp_sum(side.logp, side.mask))


def add_rewards(sums: MetricSums, chosen: Tensor, rejected: Tensor, p_chosen: Tensor) -> None:
    """Rewards (pairs,) of both sides, what parts them, and how often the preferred one is higher."""
    sums.add("reward/chosen", chosen)
    sums.add("reward/rejected", rejected)
    sums.add("reward/margin", chosen - rejected)
    sums.add("reward/accuracy", share_right(chosen - rejected, p_chosen))
