"""Intervals and tests for rates: Wilson, bootstrap over clusters, sign test, McNemar, and how many prompts it takes.

A rate without its interval is no evidence. What is resampled is the cluster (the prompt), never the single verdict: the
two orders of one comparison, or the pairs of one ranking, are not independent.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK_NUMBERS = 4_000_000  # resampled indices held in memory at once (32 MB)


class Interval(NamedTuple):
    """A mean or rate with its confidence interval; `n` counts the independent units (clusters) it rests on."""

    value: float
    low: float
    high: float
    n: int


class McNemar(NamedTuple):
    """Two judges or models on the same items: how often only one of them is right."""

    only_first: int
    only_second: int
    p_value: float


def wilson(successes: float, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927; Brown, Cai & DasGupta 2001 recommend it for any n).

        centre = (p + z^2/2n) / (1 + z^2/n),  half-width = z/(1 + z^2/n) sqrt(p(1-p)/n + z^2/4n^2)

    `successes` may be fractional (ties counted as halves); the interval is then on the wide side, because a half varies
    less than a coin. Raises ValueError for n < 1 or successes outside 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"wilson: {successes} successes of n={n}; expected n >= 1 and 0 <= successes <= n")
    low, high = _wilson_bounds(successes / n, n, confidence)
    return Interval(successes / n, low, high, n)


def wilson_clustered(values: ArrayLike, clusters: Sequence[object], confidence: float = 0.95) -> Interval:
    """Wilson's interval of a mean of values in 0..1 that hang together in clusters, through the effective sample size.

    Values are (values,), and so are the clusters' names.

        variance = K/(K-1) sum_k (sum_{i in k} (x_i - mean))^2 / N^2,  n_effective = mean(1-mean) / variance

    as in Franco, Little, Louis & Slud 2019 (J. Survey Stat. Methodol. 7:334), with n_effective never above N, and equal
    to the number of clusters K where nothing varies. Good for few clusters and for rates of 0 and 1, where a bootstrap
    shows an interval of no width. Raises ValueError for no values, values outside 0..1 and unequal lengths.
    """
    x, groups, sizes = _grouped(values, clusters)
    if x.min() < 0 or x.max() > 1:
        raise ValueError(f"wilson_clustered: values lie in {x.min():g}..{x.max():g}; expected 0..1")
    mean, count = float(x.mean()), len(sizes)
    residual = np.bincount(groups, weights=x - mean, minlength=count)  # (clusters,)
    variance = float(residual @ residual) * count / max(count - 1, 1) / len(x) ** 2
    spread = mean * (1 - mean)
    effective = min(spread / variance, float(len(x))) if variance > 1e-15 else float(count)
    low, high = _wilson_bounds(mean, effective, confidence)
    return Interval(mean, low, high, count)


def wilson_t(values: ArrayLike, clusters: Sequence[object], confidence: float = 0.95) -> Interval:
    """Wilson's interval as `wilson_clustered` has it, for any number of clusters and for what varies less than a coin.

    Values are (values,).

    The effective sample size is not capped, as ties and two orders make a prompt's mean vary less than a coin; for the
    variance being estimated from K clusters, Student's t with K - 1 degrees stands in place of z (after Korn & Graubard
    1998, Survey Methodology 24:193). Where nothing varies it is `wilson_clustered`. Raises ValueError as that does.
    """
    capped = wilson_clustered(values, clusters, confidence)
    x, groups, sizes = _grouped(values, clusters)
    count = len(sizes)
    residual = np.bincount(groups, weights=x - capped.value, minlength=count)
    variance = float(residual @ residual) * count / max(count - 1, 1) / len(x) ** 2
    if variance < 1e-15 or count < 2:
        return capped
    effective = capped.value * (1 - capped.value) / variance
    quantile = _student_t((1 + confidence) / 2, count - 1)
    low, high = _score_bounds(capped.value, effective, quantile)
    return Interval(capped.value, low, high, count)


def bootstrap_mean(
    values: ArrayLike, clusters: Sequence[object], *, seed: int, replicates: int = 2000, confidence: float = 0.95
) -> Interval:
    """Mean of `values` with the percentile interval of a bootstrap (Efron 1979) that draws whole clusters with
    replacement.

    `values` and `clusters` are (rows,); rows with equal cluster labels are drawn together (Davison & Hinkley 1997,
    section 3.8). The percentile interval needs some 40 clusters and some variation: with fewer it covers too little,
    and where all cluster means agree it has no width. `wilson_t` serves there. Raises ValueError for no rows or unequal
    lengths.
    """
    x, groups, sizes = _grouped(values, clusters)
    count = len(sizes)
    sums = np.bincount(groups, weights=x, minlength=count)  # (clusters,)
    random = np.random.default_rng(seed)
    means = np.empty(replicates)
    chunk = max(1, _CHUNK_NUMBERS // count)
    for start in range(0, replicates, chunk):
        drawn = random.integers(count, size=(min(chunk, replicates - start), count))  # (replicates, clusters)
        means[start : start + len(drawn)] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(x.mean()), float(low), float(high), count)


def sign_test(wins: int, losses: int) -> float:
    """Exact two-sided p-value of `wins` against `losses` under equal chances; ties are left out (Dixon & Mood 1946)."""
    if wins < 0 or losses < 0:
        raise ValueError(f"sign_test: wins={wins}, losses={losses}; expected counts of at least 0")
    n = wins + losses
    term, tail = 1, 1  # C(n, 0) and the sum of C(n, i) up to the smaller count, in whole numbers
    for i in range(min(wins, losses)):
        term = term * (n - i) // (i + 1)
        tail += term
    return min(1.0, float(2 * tail / 2**n))


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> McNemar:
    """McNemar's test (1947) of two paired yes/no series (items,), exact: a sign test on the items where only one is
    right."""
    first, second = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"mcnemar: series of shapes {first.shape} and {second.shape}; expected two of equal length")
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    return McNemar(only_first, only_second, sign_test(only_first, only_second))


def prompts_needed(
    win_rate: float, *, null: float = 0.5, power: float = 0.8, confidence: float = 0.95, tie_rate: float = 0.0
) -> int:
    """Prompts needed so that a true `win_rate` (ties as halves) is told from `null` with the given power, two-sided.

        n = ((z_a sd_0 + z_b sd_1) / (win_rate - null))^2,  sd^2 = m (1 - m) - tie_rate / 4

    The normal approximation for one mean (Lachin 1981); a tie, worth a half, takes a quarter off the variance of a
    coin. Raises ValueError where the two rates are equal, or the tie rate does not go with them.
    """
    variances = [mean * (1 - mean) - tie_rate / 4 for mean in (null, win_rate)]
    if win_rate == null or min(variances) < 0 or not 0 <= tie_rate <= 1:
        raise ValueError(
            f"prompts_needed: win_rate={win_rate:g}, null={null:g}, tie_rate={tie_rate:g}; expected two different "
            "rates in 0..1 and ties that leave room for them (rate between tie_rate/2 and 1 - tie_rate/2)"
        )
    z_alpha, z_beta = NormalDist().inv_cdf((1 + confidence) / 2), NormalDist().inv_cdf(power)
    root = (z_alpha * math.sqrt(variances[0]) + z_beta * math.sqrt(variances[1])) / (win_rate - null)
    return math.ceil(root**2)


def _wilson_bounds(p: float, n: float, confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is outside 0..1")
    return _score_bounds(p, n, NormalDist().inv_cdf((1 + confidence) / 2))


def _score_bounds(p: float, n: float, quantile: float) -> tuple[float, float]:
    z2 = quantile**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2) / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # At p = 0 and p = 1 the bound is exactly p; rounding would leave it 1e-17 off.
    return (0.0 if p == 0 else centre - half), (1.0 if p == 1 else centre + half)


def _student_t(probability: float, degrees: int) -> float:
    """Quantile of Student's t: exact for 1 and 2 degrees, else Hill's expansion (Abramowitz & Stegun 26.7.5), which is
    within 0.001 of it for the usual 97.5 % from 4 degrees on."""
    if degrees == 1:
        return math.tan(math.pi * (probability - 0.5))
    if degrees == 2:
        return (2 * probability - 1) * math.sqrt(1 / (2 * probability * (1 - probability)))
    z = NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / float(degrees) ** power for power, term in enumerate(terms))


def _grouped(
    values: ArrayLike, clusters: Sequence[object]
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Values (rows,), cluster number of each row (rows,), rows of each cluster (clusters,)."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or len(x) != len(clusters):
        raise ValueError(
            f"values of shape {x.shape} with {len(clusters)} cluster labels; expected equal lengths, not 0"
        )
    numbers: dict[object, int] = {}
    groups = np.fromiter((numbers.setdefault(label, len(numbers)) for label in clusters), np.intp, count=len(x))
    return x, groups, np.bincount(groups)
