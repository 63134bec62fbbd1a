"""Direct preference optimisation and its kin: preference losses whose score is the policy itself.

DPO is `bradley_terry` with beta * (log policy - log reference) in place of the reward model's score; the files share
their likelihood. Watch the reduction: DPO and IPO exist with log-ratios summed over response tokens (the papers) and
divided by them (length-normalised), SimPO takes means. Log-probabilities of the first come as sums in either form: the
numbers of tokens, where given, are what divides them.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from boresight.objectives.bradley_terry import preference_nll
from boresight.objectives.inputs import at_least_float32, require_same_shape


class DPOTerms(NamedTuple):
    """Values of one pair each."""

    loss: Tensor  # (pairs,) unreduced; nats, except for IPO
    chosen_reward: Tensor  # (pairs,) beta * log-ratio in nats, detached
    rejected_reward: Tensor  # (pairs,)


class LogRatios(NamedTuple):
    chosen: Tensor  # (pairs,) log policy - log reference
    rejected: Tensor  # (pairs,)


def dpo_loss(
    *,
    policy_chosen_logp_sum: Tensor,
    policy_rejected_logp_sum: Tensor,
    reference_chosen_logp_sum: Tensor,
    reference_rejected_logp_sum: Tensor,
    beta: float,
    chosen_tokens: Tensor | None = None,
    rejected_tokens: Tensor | None = None,
    p_chosen: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> DPOTerms:
    """Preference loss of a policy against a frozen reference, one value a pair.

    Rafailov et al. 2023 (arXiv:2305.18290), eq. 7; smoothing: Mitchell 2023 (cDPO), eq. 3.

        r_i  = log policy(y_i | x) - log reference(y_i | x)             for i in chosen, rejected
        loss = -(1-s) log sigmoid(beta (r_c - r_r)) - s log sigmoid(-beta (r_c - r_r))

    With `chosen_tokens` and `rejected_tokens` each log-ratio r is divided by its response's tokens: length-normalised
    DPO (Lambert et al. 2024, arXiv:2411.15124, section 5, whose beta is 5; a beta of the sum form says nothing here).
    Soft labels `p_chosen` take part as in `preference_nll`. Shapes: every tensor is (pairs,). Units: nats, summed over
    response tokens, stop token included (ORPO wants means). Gradient: through the policy terms only. Equals log 2
    where policy == reference.
    """
    ratio = log_ratios(
        policy_chosen=policy_chosen_logp_sum,
        policy_rejected=policy_rejected_logp_sum,
        reference_chosen=reference_chosen_logp_sum,
        reference_rejected=reference_rejected_logp_sum,
        chosen_tokens=chosen_tokens,
        rejected_tokens=rejected_tokens,
    )
    difference = beta * (ratio.chosen - ratio.rejected)
    loss = preference_nll(difference, p_chosen=p_chosen, label_smoothing=label_smoothing)
    return DPOTerms(loss, (beta * ratio.chosen).detach(), (beta * ratio.rejected).detach())


def robust_dpo_loss(
    *,
    policy_chosen_logp_sum: Tensor,
    policy_rejected_logp_sum: Tensor,
    reference_chosen_logp_sum: Tensor,
    reference_rejected_logp_sum: Tensor,
    beta: float,
    label_smoothing: float,
    chosen_tokens: Tensor | None = None,
    rejected_tokens: Tensor | None = None,
) -> DPOTerms:
    """DPO whose mean over randomly turned labels is DPO's on the true ones (Chowdhury et al. 2024, arXiv:2403.00409).

        loss = ((1-s) l(z) - s l(-z)) / (1 - 2s)        with l(z) = -log sigmoid(z), z = beta (r_c - r_r)

    `label_smoothing` is the assumed share of turned labels, below 0.5. The loss may fall below 0. Tokens, shapes,
    units and gradient as in `dpo_loss`.
    """
    if not 0.0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing is {label_smoothing}; expected at least 0 and below 0.5 for the robust loss")
    ratio = log_ratios(
        policy_chosen=policy_chosen_logp_sum,
        policy_rejected=policy_rejected_logp_sum,
        reference_chosen=reference_chosen_logp_sum,
        reference_rejected=reference_rejected_logp_sum,
        chosen_tokens=chosen_tokens,
        rejected_tokens=rejected_tokens,
    )
    z = beta * (ratio.chosen - ratio.rejected)
    kept, turned = preference_nll(z), preference_nll(-z)
    loss = ((1.0 - label_smoothing) * kept - label_smoothing * turned) / (1.0 - 2.0 * label_smoothing)
    return DPOTerms(loss, (beta * ratio.chosen).detach(), (beta * ratio.rejected).detach())


def ipo_loss(
    *,
    policy_chosen_logp_sum: Tensor,
    policy_rejected_logp_sum: Tensor,
    reference_chosen_logp_sum: Tensor,
    reference_rejected_logp_sum: Tensor,
    beta: float,
    chosen_tokens: Tensor | None = None,
    rejected_tokens: Tensor | None = None,
) -> DPOTerms:
    """A squared loss that stops pushing at a finite margin (Azar et al. 2023, arXiv:2310.12036).

        loss = ((r_c - r_r) - 1 / (2 beta))^2

    Sums or means: with `chosen_tokens` and `rejected_tokens` (pairs,) each log-ratio r is divided by its response's
    tokens (the authors' advice for language models, and what TRL does); without them it is the sum of the paper. The
    rewards returned are beta * r in the same form. Shapes and gradient as in `dpo_loss`; the loss is in nats squared.
    """
    ratio = log_ratios(
        policy_chosen=policy_chosen_logp_sum,
        policy_rejected=policy_rejected_logp_sum,
        reference_chosen=reference_chosen_logp_sum,
        reference_rejected=reference_rejected_logp_sum,
        chosen_tokens=chosen_tokens,
        rejected_tokens=rejected_tokens,
    )
    loss = (ratio.chosen - ratio.rejected - 1.0 / (2.0 * beta)).square()
    return DPOTerms(loss, (beta * ratio.chosen).detach(), (beta * ratio.rejected).detach())


def simpo_loss(
    *,
    policy_chosen_logp_mean: Tensor,
    policy_rejected_logp_mean: Tensor,
    beta: float,
    gamma: float,
    p_chosen: Tensor | None = None,
) -> DPOTerms:
    """Preference loss without a reference, on mean log-probabilities (Meng et al. 2024, arXiv:2405.14734).

        loss = -log sigmoid(beta (m_c - m_r) - gamma)          with m_i = log policy(y_i | x) / tokens of y_i

    Shapes: (pairs,). `gamma` is the target margin in nats, after beta; rewards are beta * m. Soft labels `p_chosen`
    take part as in `preference_nll`, with gamma as the margin of either response.
    """
    require_same_shape(
        policy_chosen_logp_mean=policy_chosen_logp_mean, policy_rejected_logp_mean=policy_rejected_logp_mean
    )
    chosen, rejected = at_least_float32(policy_chosen_logp_mean), at_least_float32(policy_rejected_logp_mean)
    difference = beta * (chosen - rejected)
    loss = preference_nll(difference, margin=torch.full_like(difference, gamma), p_chosen=p_chosen)
    return DPOTerms(loss, (beta * chosen).detach(), (beta * rejected).detach())


def log_ratios(
    *,
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    chosen_tokens: Tensor | None = None,
    rejected_tokens: Tensor | None = None,
) -> LogRatios:
    """log policy - log reference of both responses, (pairs,), divided by tokens where those are given; no gradient
    reaches the reference."""
    require_same_shape(
        policy_chosen=policy_chosen,
        policy_rejected=policy_rejected,
        reference_chosen=reference_chosen,
        reference_rejected=reference_rejected,
        chosen_tokens=chosen_tokens,
        rejected_tokens=rejected_tokens,
    )
    ratio = LogRatios(
        chosen=at_least_float32(policy_chosen) - at_least_float32(reference_chosen).detach(),
        rejected=at_least_float32(policy_rejected) - at_least_float32(reference_rejected).detach(),
    )
    if chosen_tokens is not None and rejected_tokens is not None:
        return LogRatios(ratio.chosen / chosen_tokens, ratio.rejected / rejected_tokens)
    if chosen_tokens is None and rejected_tokens is None:
        return ratio
    given, absent = "chosen_tokens", "rejected_tokens"
    if chosen_tokens is None:
        given, absent = absent, given
    raise ValueError(f"{given} is given but {absent} is not; pass both for the mean form, neither for the sum form")
