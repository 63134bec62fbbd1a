"""When the sampler's arithmetic is not the trainer's: how far apart they are, and a weight that makes up for it.

A policy gradient over tokens drawn from q, written for p, is off by the ratio p / q (other kernels, lower precision).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from boresight.objectives.inputs import require_mask
from boresight.objectives.kl import k3
from boresight.objectives.masking import fill_masked, masked_mean


class SamplerGap(NamedTuple):
    kl: Tensor  # scalar, KL(sampler || trainer) by k3, nats a token: 0 where p equals q
    effective_share: Tensor  # scalar, effective sample size of the ratios / tokens: 1 where p equals q


def truncated_importance(*, policy_logp: Tensor, sampler_logp: Tensor, mask: Tensor, cap: float) -> Tensor:
    """min(p / q, cap) a token (Ionides 2008; for language models Yao et al. 2025), detached; 1 where mask is False.

    Shapes are (responses, tokens). `policy_logp` is that of the trainer before any update of the step: of the weights
    that sampled, or of younger ones, whose ratio then makes up for the age too (the loss is that of decoupled PPO,
    Hilton et al. 2021, arXiv:2110.00641, with p the proximal and q the behaviour policy). The cap bounds the variance
    and biases towards the sampler where it binds.
    """
    require_mask(mask, policy_logp=policy_logp, sampler_logp=sampler_logp)
    log_ratio = fill_masked(policy_logp, mask) - fill_masked(sampler_logp, mask)
    return torch.exp(log_ratio).clamp(max=cap).detach()


class ImportanceShares(NamedTuple):
    mean: Tensor  # scalar, mean weight
    truncated: Tensor  # scalar, share of the weights that the cap has made smaller


def importance_shares(*, policy_logp: Tensor, sampler_logp: Tensor, mask: Tensor, cap: float) -> ImportanceShares:
    """What the weights of `truncated_importance` (Ionides 2008) are on a batch, where `mask` is True. Shapes are
    (responses, tokens), or (responses,) where a whole response is the action."""
    weight = truncated_importance(policy_logp=policy_logp, sampler_logp=sampler_logp, mask=mask, cap=cap)
    log_ratio = fill_masked(policy_logp, mask) - fill_masked(sampler_logp, mask)
    over = torch.exp(log_ratio).detach() > cap
    return ImportanceShares(masked_mean(weight, mask), masked_mean(over.to(weight), mask))


def sampler_gap(*, policy_logp: Tensor, sampler_logp: Tensor, mask: Tensor) -> SamplerGap:
    """How far trainer and sampler are apart on a batch; shapes as in `truncated_importance`.

    The share is (sum w)^2 / (n sum w^2) over the n tokens with w = p / q (Kish 1965).
    """
    require_mask(mask, policy_logp=policy_logp, sampler_logp=sampler_logp)
    ratio = (fill_masked(policy_logp, mask) - fill_masked(sampler_logp, mask)).detach().exp()
    share = masked_mean(ratio, mask).square() / masked_mean(ratio.square(), mask)
    kl = k3(policy_logp=sampler_logp, reference_logp=policy_logp, mask=mask).detach()  # the sampler drew the tokens
    return SamplerGap(masked_mean(kl, mask), share)
