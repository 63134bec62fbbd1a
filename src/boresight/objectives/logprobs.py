"""Log-probabilities of tokens and responses, entropy, and log(1 - e^x) without cancellation.

The reduction is part of every name: `logp` is a token's, `logp_sum` a response's, `logp_mean` a response's divided by
its tokens. DPO wants sums, ORPO and SimPO want means; one passed for the other is the field's commonest silent fault.
Everything is in nats and in float32 at least, whatever dtype the model has.
"""

import math

import torch
from torch import Tensor

from boresight.objectives.inputs import at_least_float32, require_mask
from boresight.objectives.masking import fill_masked, masked_mean, masked_sum

LOG_2 = math.log(2.0)


def token_logps(logits: Tensor, targets: Tensor, *, temperature: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Log-probability of each target token at a sampling temperature: by definition the log of the softmax.

        logp = z_target - logsumexp(z)    with z = logits / temperature

    Shapes: logits (..., vocabulary), targets and the result (...). Logits at a position predict the target at the same
    position; shifting by one is the caller's. Where a mask (...) is given and False, neither logits nor target are read
    and the result is 0; without one every target must be a token id. A policy sampled at a temperature must be scored
    at it too, or the KL that is measured is not the KL of what was sampled.
    """
    if targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"logits has shape {tuple(logits.shape)} but targets has shape {tuple(targets.shape)}; "
            f"expected targets of shape {tuple(logits.shape[:-1])}, one a position"
        )
    if mask is not None:
        require_mask(mask, targets=targets)
        targets = targets.where(mask, 0)
    scaled = scaled_logits(logits, temperature=temperature, mask=mask)
    target_logits = scaled.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    logp = target_logits - scaled.logsumexp(-1)
    return logp if mask is None else fill_masked(logp, mask)


def entropy(logits: Tensor, *, temperature: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Entropy of the next-token distribution (Shannon 1948), -sum p log p, in nats.

    Shapes: logits (..., vocabulary), mask and the result (...). Tokens ruled out by a logit of -inf add nothing; the
    result is 0 where a given mask is False.
    """
    logp = scaled_logits(logits, temperature=temperature, mask=mask).log_softmax(-1)
    nats = -(logp.exp() * logp.masked_fill(logp == -math.inf, 0.0)).sum(-1)
    return nats if mask is None else fill_masked(nats, mask)


def scaled_logits(logits: Tensor, *, temperature: float, mask: Tensor | None) -> Tensor:
    """logits / temperature in float32 at least, (..., vocabulary); rows whose mask (...) is False become 0."""
    if not temperature > 0.0:
        raise ValueError(
            f"temperature is {temperature}; expected a number above 0 (greedy choice has no log-probability)"
        )
    scaled = at_least_float32(logits)
    if mask is not None:
        require_mask(mask, logits_without_vocabulary=logits[..., 0])
        scaled = torch.where(mask.unsqueeze(-1), scaled, 0.0)
    return scaled if temperature == 1.0 else scaled / temperature


def logp_sum(logp: Tensor, mask: Tensor) -> Tensor:
    """Log-probability of whole responses, by definition the sum: (responses, tokens) -> (responses,), nats a
    response."""
    return masked_sum(logp, mask, -1)


def logp_mean(logp: Tensor, mask: Tensor) -> Tensor:
    """By definition the mean over each response's tokens: (responses, tokens) -> (responses,), nats a token; NaN
    without a token."""
    return masked_mean(logp, mask, -1)


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - e^x) for x <= 0, the log-probability of "not", any shape; -inf at 0.

    Two forms, each exact where the other cancels (Maechler 2012): log(-expm1(x)) above -log 2, log1p(-e^x) below.
    """
    x = at_least_float32(x)
    near_zero = x > -LOG_2
    # The branch not taken near 0 sees a harmless -1: its infinite slope there would turn a zero gradient into NaN.
    return torch.where(
        near_zero,
        torch.log(-torch.expm1(x)),
        torch.log1p(-torch.exp(x.where(~near_zero, -1.0))),
    )
