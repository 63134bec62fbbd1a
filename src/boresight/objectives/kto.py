"""Kahneman-Tversky optimisation: responses called good or bad one by one, held against what the policy does anyway."""

from typing import NamedTuple

import torch
from torch import Tensor

from boresight.objectives.inputs import at_least_float32, require_mask


class KTOTerms(NamedTuple):
    loss: Tensor  # (responses,) between 0 and the response's weight, unreduced; no unit
    reward: Tensor  # (responses,) beta * log-ratio in nats, detached


def kto_loss(
    *,
    policy_logp_sum: Tensor,
    reference_logp_sum: Tensor,
    desirable: Tensor,
    baseline: Tensor,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> KTOTerms:
    """Loss of responses with a verdict each (Ethayarajh et al. 2024, arXiv:2402.01306, eq. 8).

        r    = log policy(y | x) - log reference(y | x)
        loss = desirable_weight   (1 - sigmoid(beta (r - z)))          where the response is desirable
               undesirable_weight (1 - sigmoid(beta (z - r)))          where it is not

    Shapes: log-probabilities are (responses,), summed over response tokens, in nats; `desirable` is boolean, `baseline`
    the scalar z of `kto_baseline`. Gradient: through the policy term only; it fades where r is far from z on either
    side, so that neither outliers nor wrong labels rule. Where policy == reference a loss is half its weight.
    """
    require_mask(desirable, policy_logp_sum=policy_logp_sum, reference_logp_sum=reference_logp_sum)
    ratio = at_least_float32(policy_logp_sum) - at_least_float32(reference_logp_sum).detach()
    gain = beta * (ratio - baseline.detach())
    # 1 - sigmoid(x) = sigmoid(-x), which does not cancel for a large x.
    loss = torch.where(desirable, desirable_weight * torch.sigmoid(-gain), undesirable_weight * torch.sigmoid(gain))
    return KTOTerms(loss, (beta * ratio).detach())


def kto_baseline(*, policy_logp_sum: Tensor, reference_logp_sum: Tensor) -> Tensor:
    """The reference point z, a scalar in nats: the mean log-ratio of responses to prompts that are not theirs, at least
    0.

    It stands for the KL of policy and reference without sampling from the policy (Ethayarajh et al. 2024, section 4.1):
    biased, but cheap. Shapes: (responses,), over the whole batch; no gradient. 0 without any response.
    """
    ratio = at_least_float32(policy_logp_sum).detach() - at_least_float32(reference_logp_sum).detach()
    return (ratio.sum() / max(1, len(ratio))).clamp(min=0.0)
