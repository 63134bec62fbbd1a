"""Trends in noisy series: medians, Theil-Sen slopes, the Mann-Kendall test and one change point; numpy only.

A logged metric has outliers, heavy tails and no known distribution, so nothing here uses a mean or a least square.
Long series are thinned to medians of equal blocks first: the work stays bounded, and a median of medians keeps trends.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

MOST_POINTS = 240
"""Points that pairwise statistics are computed on; 28,680 pairs."""

MAD_TO_DEVIATION = 1.4826
"""The median absolute deviation of a normal distribution times this is its standard deviation."""


class Trend(NamedTuple):
    """`change` is the Theil-Sen slope times the length of the series; `z` the Mann-Kendall statistic."""

    change: float
    z: float
    noise: float
    """Robust standard deviation around the trend."""


class ChangePoint(NamedTuple):
    """The cut that separates the medians best: `place` is the first point after it."""

    place: int
    before: float
    after: float


def blocks(values: Numbers, most: int = MOST_POINTS) -> Numbers:
    """Medians of equal blocks of a series (values,), at most so many; the series itself where it is short."""
    if len(values) <= most:
        return values
    edges = np.linspace(0, len(values), most + 1).astype(int)
    return np.array([np.median(values[a:b]) for a, b in pairwise(edges)])


def trend(values: Numbers) -> Trend:
    """Direction of a series of finite numbers (values,), and how sure it is.

        slope  = median over i < j of (x_j - x_i) / (j - i)                                      (Theil 1950, Sen 1968)
        z      = (S -+ 1) / sqrt(n(n-1)(2n+5)/18 - ties),  S = sum over i < j of sign(x_j - x_i)  (Mann 1945)

    Ties are taken out of the variance as Kendall 1975 does. Fewer than three points have no trend: all zeros.
    """
    x = blocks(values)
    n = len(x)
    if n < 3:
        return Trend(0.0, 0.0, 0.0)
    first, second = np.triu_indices(n, 1)
    rises = x[second] - x[first]
    slope = float(np.median(rises / (second - first)))
    score = float(np.sign(rises).sum())
    _, ties = np.unique(x, return_counts=True)
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    z = 0.0 if variance <= 0 or score == 0 else (score - math.copysign(1, score)) / math.sqrt(variance)
    return Trend(slope * (n - 1), z, deviation(x - slope * np.arange(n)))


def deviation(values: Numbers) -> float:
    """Robust standard deviation of (values,): the median absolute deviation, scaled to a normal distribution's (Hampel
    1974)."""
    return float(np.median(np.abs(values - np.median(values)))) * MAD_TO_DEVIATION if len(values) else 0.0


def change_point(values: Numbers, smallest: int = 3) -> ChangePoint | None:
    """The cut of (values,) with the largest drop in absolute deviation around medians (Bai 1995, for one shift); None
    where a side would be too short."""
    x = blocks(values)
    if len(x) < 2 * smallest:
        return None
    cuts = range(smallest, len(x) - smallest + 1)
    costs = [_spread(x[:cut]) + _spread(x[cut:]) for cut in cuts]
    cut = cuts[int(np.argmin(costs))]
    place = round(cut * len(values) / len(x))
    return ChangePoint(place, float(np.median(x[:cut])), float(np.median(x[cut:])))


def _spread(x: Numbers) -> float:
    return float(np.abs(x - np.median(x)).sum())
