"""How far the policy has moved from the reference: sampled estimators, the exact sum, and the adaptive coefficient.

The direction is KL(policy || reference) throughout: tokens are drawn from the policy. With the ratio
r = reference / policy at a drawn token (Schulman 2020, "Approximating KL divergence"):

    k1 = -log r            unbiased; single values are often negative, the mean over many is not
    k2 = (log r)^2 / 2     biased, low variance; its gradient is that of the KL, in expectation
    k3 = r - 1 - log r     unbiased and never negative; explodes where the reference likes a token far better

As a loss, k1 has an expected gradient of zero and k3 not that of the KL. A mean k1 that stays below zero says that
the tokens did not come from this policy (other temperature, other weights, dropout).
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from boresight.objectives.inputs import at_least_float32, require_same_shape
from boresight.objectives.logprobs import scaled_logits
from boresight.objectives.masking import fill_masked

KLEstimator = Literal["k1", "k2", "k3"]


def k1(*, policy_logp: Tensor, reference_logp: Tensor, mask: Tensor | None = None) -> Tensor:
    """log policy - log reference, nats a token; any shape, 0 where a given mask is False."""
    require_same_shape(policy_logp=policy_logp, reference_logp=reference_logp)
    log_ratio = at_least_float32(policy_logp) - at_least_float32(reference_logp)
    return log_ratio if mask is None else fill_masked(log_ratio, mask)


def k2(*, policy_logp: Tensor, reference_logp: Tensor, mask: Tensor | None = None) -> Tensor:
    """Half the squared log-ratio, nats a token; any shape, 0 where a given mask is False."""
    return 0.5 * k1(policy_logp=policy_logp, reference_logp=reference_logp, mask=mask).square()


def k3(*, policy_logp: Tensor, reference_logp: Tensor, mask: Tensor | None = None) -> Tensor:
    """r - 1 - log r, nats a token; any shape, 0 where a given mask is False. Nothing is clamped."""
    log_ratio = k1(policy_logp=policy_logp, reference_logp=reference_logp, mask=mask)
    return torch.expm1(-log_ratio) + log_ratio


ESTIMATORS: dict[KLEstimator, Callable[..., Tensor]] = {"k1": k1, "k2": k2, "k3": k3}


def kl_estimate(
    *, policy_logp: Tensor, reference_logp: Tensor, estimator: KLEstimator, mask: Tensor | None = None
) -> Tensor:
    """The estimator of that name in nats, (responses, tokens); ValueError for a name that is none of k1, k2, k3."""
    if estimator not in ESTIMATORS:
        raise ValueError(f"KL estimator is {estimator!r}; expected one of {', '.join(ESTIMATORS)}")
    return ESTIMATORS[estimator](policy_logp=policy_logp, reference_logp=reference_logp, mask=mask)


def kl_exact(
    *, policy_logits: Tensor, reference_logits: Tensor, temperature: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    """KL(policy || reference) of the next token, summed over the vocabulary: (..., vocabulary) -> (...), nats.

    Its mean over positions drawn from the policy is what k1 and k3 estimate, without the noise of the last draw.
    Tokens that the policy rules out (-inf) add nothing; one that only the reference rules out makes it inf.
    """
    require_same_shape(policy_logits=policy_logits, reference_logits=reference_logits)
    policy_logp = scaled_logits(policy_logits, temperature=temperature, mask=mask).log_softmax(-1)
    reference_logp = scaled_logits(reference_logits, temperature=temperature, mask=mask).log_softmax(-1)
    possible = policy_logp > -math.inf
    log_ratio = policy_logp.where(possible, 0.0) - reference_logp.where(possible, 0.0)
    nats = (policy_logp.exp() * log_ratio).sum(-1)
    return nats if mask is None else fill_masked(nats, mask)


def adapt_kl_coefficient(
    coefficient: float,
    *,
    kl_per_sequence: float,
    target_kl_per_sequence: float,
    responses: int,
    horizon: float,
    max_relative_error: float = 0.2,
) -> float:
    """The KL coefficient for the next batch (Ziegler et al. 2019, section 2.2).

        error       = clip(kl / target - 1, -max_relative_error, max_relative_error)
        coefficient = coefficient (1 + error * responses / horizon)

    `kl_per_sequence` is k1 summed over a response's tokens, averaged over the batch's responses. The usual target of
    6 nats belongs to that unit; a mean over tokens would hardly ever reach it. Raises ValueError for a KL that is not
    finite, for a target or horizon that is not above 0, and for a horizon so short that one step could take all of the
    coefficient away.
    """
    if not math.isfinite(kl_per_sequence):
        raise ValueError(f"kl_per_sequence is {kl_per_sequence}; expected a finite number of nats a response")
    if not (target_kl_per_sequence > 0.0 and horizon > 0.0):
        raise ValueError(
            f"target_kl_per_sequence is {target_kl_per_sequence} and horizon is {horizon}; both must be above 0"
        )
    if max_relative_error * responses >= horizon:
        raise ValueError(
            f"horizon is {horizon} responses, and the batch has {responses}; expected more than "
            f"{max_relative_error * responses:g}, or the coefficient could fall to 0 and below in one step"
        )
    error = kl_per_sequence / target_kl_per_sequence - 1.0
    error = min(max(error, -max_relative_error), max_relative_error)
    return coefficient * (1.0 + error * responses / horizon)
