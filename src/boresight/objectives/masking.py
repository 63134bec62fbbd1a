"""Sums, means and whitening over the elements that count.

A mask is boolean and True where an element counts. What stands where it is False, NaN included, changes neither a
result nor a gradient: values are replaced before any arithmetic touches them. Results are float32 at least. Sum, mean
and variance are what they are by definition.
"""

import torch
from torch import Tensor

from boresight.objectives.inputs import at_least_float32, require_mask

Dims = int | tuple[int, ...] | None


def fill_masked(values: Tensor, mask: Tensor, fill: float = 0.0) -> Tensor:
    """`values` where the mask is True and `fill` elsewhere, in float32 at least; equal shapes."""
    require_mask(mask, values=values)
    return torch.where(mask, at_least_float32(values), fill)


def masked_sum(values: Tensor, mask: Tensor, dim: Dims = None) -> Tensor:
    """Sum of the values that count, over `dim` or over everything (any shape); 0 where nothing counts."""
    return fill_masked(values, mask).sum(dim)


def masked_mean(values: Tensor, mask: Tensor, dim: Dims = None) -> Tensor:
    """Mean of the values that count, over `dim` or everything (any shape); NaN where nothing counts: no mean exists."""
    return masked_sum(values, mask, dim) / mask.sum(dim)


def masked_variance(values: Tensor, mask: Tensor, *, unbiased: bool = False) -> Tensor:
    """Variance of all values that count, a scalar: divided by n, or by n - 1 where `unbiased`."""
    squares = (fill_masked(values, mask) - masked_mean(values, mask)).square()
    return masked_sum(squares, mask) / (mask.sum() - int(unbiased))


def masked_whiten(
    values: Tensor, mask: Tensor, *, shift_mean: bool, unbiased: bool = False, epsilon: float = 1e-8
) -> Tensor:
    """Values of any shape, scaled to variance 1 and, where `shift_mean`, moved to mean 0; otherwise they keep their
    mean.

        w = (x - mean) / sqrt(variance + epsilon)  [+ mean, unless shift_mean]

    The variance is the biased one (divided by n), as in Ziegler et al. 2019 and Huang et al. 2024; `unbiased` divides
    by n - 1 (Bessel), as TRL does, which on few tokens gives clearly different numbers. Mean and variance are taken
    over all elements that count; the others become 0. PPO shifts advantages and, where it whitens rewards, does not
    shift those: the sign of a reward means something.
    """
    mean = masked_mean(values, mask)
    whitened = (fill_masked(values, mask) - mean) * torch.rsqrt(
        masked_variance(values, mask, unbiased=unbiased) + epsilon
    )
    return fill_masked(whitened if shift_mean else whitened + mean, mask)
