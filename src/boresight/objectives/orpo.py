"""Odds-ratio preference optimisation: imitate the chosen response and prefer it, in one loss, without a reference."""

from typing import NamedTuple

import torch
from torch import Tensor

from boresight.objectives.bradley_terry import preference_nll
from boresight.objectives.inputs import at_least_float32, require_same_shape
from boresight.objectives.logprobs import log1mexp


class ORPOTerms(NamedTuple):
    loss: Tensor  # (pairs,) nll + odds_ratio_coefficient * preference, unreduced
    nll: Tensor  # (pairs,) nats a token
    preference: Tensor  # (pairs,) nats, -log sigmoid of the log odds ratio
    log_odds_ratio: Tensor  # (pairs,) log odds chosen - log odds rejected, detached; rising while ORPO works


def orpo_loss(
    *,
    policy_chosen_logp_mean: Tensor,
    policy_rejected_logp_mean: Tensor,
    odds_ratio_coefficient: float,
    nll: Tensor | None = None,
) -> ORPOTerms:
    """Likelihood and odds-ratio loss, one value a pair (Hong et al. 2024, arXiv:2403.07691).

        log odds(y) = m - log(1 - e^m)                              with m = log policy(y | x) / tokens of y
        loss        = nll - odds_ratio_coefficient log sigmoid(log odds(chosen) - log odds(rejected))

    Shapes: every tensor is (pairs,). Units: nats a response token, mean over the response only (DPO wants sums).
    `nll` is -m of the chosen response unless given; give it to count the prompt's tokens too, as TRL does. Gradient:
    through everything given.
    """
    require_same_shape(
        policy_chosen_logp_mean=policy_chosen_logp_mean, policy_rejected_logp_mean=policy_rejected_logp_mean, nll=nll
    )
    nll = -at_least_float32(policy_chosen_logp_mean) if nll is None else at_least_float32(nll)
    log_odds_ratio = log_odds(policy_chosen_logp_mean) - log_odds(policy_rejected_logp_mean)
    preference = preference_nll(log_odds_ratio)
    return ORPOTerms(
        loss=nll + odds_ratio_coefficient * preference,
        nll=nll,
        preference=preference,
        log_odds_ratio=log_odds_ratio.detach(),
    )


def log_odds(logp: Tensor) -> Tensor:
    """log(p / (1 - p)) from log p, any shape.

    Certainty (a log-probability that rounding has made 0) would have infinite odds and turn the loss into NaN; it
    is taken as the dtype's smallest step below certainty instead, with no gradient.
    """
    logp = at_least_float32(logp)
    logp = logp.clamp(max=-torch.finfo(logp.dtype).tiny)
    return logp - log1mexp(logp)
