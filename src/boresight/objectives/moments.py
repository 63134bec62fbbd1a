"""Mean and deviation of numbers that come in batches, without keeping them."""

import math
from typing import NamedTuple

from torch import Tensor


class Moments(NamedTuple):
    """Of all numbers so far: how many, their mean, and the sum of squared differences from it; all by definition."""

    total: int
    mean: float
    squares: float

    @property
    def deviation(self) -> float:
        """Biased: divided by their number; 0 for no number."""
        return math.sqrt(self.squares / self.total) if self.total else 0.0


def moments_of(values: Tensor) -> Moments:
    """Of the elements of a tensor of any shape, in float64; mean and squares by definition."""
    values = values.detach().double()
    if not values.numel():
        return Moments(0, 0.0, 0.0)
    mean = values.mean()
    return Moments(values.numel(), float(mean), float((values - mean).square().sum()))


def merge_moments(a: Moments, b: Moments) -> Moments:
    """Of both sets of numbers together (Chan, Golub and LeVeque 1983, eq. 2.1), which does not cancel.

    mean    = mean_a + gap n_b / n                      with gap = mean_b - mean_a, n = n_a + n_b
    squares = squares_a + squares_b + gap^2 n_a n_b / n
    """
    total = a.total + b.total
    if not total:
        return a
    gap = b.mean - a.mean
    squares = a.squares + b.squares + gap * gap * a.total * b.total / total
    return Moments(total, a.mean + gap * b.total / total, squares)
