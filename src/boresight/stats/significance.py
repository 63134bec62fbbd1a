"""Tests beside the sign test: a permutation test of a mean by clusters, and Holm's correction for many of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

_EXACT_UP_TO = 12  # clusters; 2^12 sign patterns are all looked at
_CHUNK_NUMBERS = 4_000_000


def sign_flip_test(values: ArrayLike, clusters: Sequence[object], *, seed: int, replicates: int = 9999) -> float:
    """Two-sided p-value that the mean of `values` is 0, where each cluster could as well have had the other sign.

    Values are (values,).

    The permutation test of a paired comparison (Fisher 1935): if candidate and baseline are alike, exchanging them in a
    cluster changes the sign of its sum and nothing else. Exact up to 12 clusters that are not 0, else by Monte Carlo
    with (1 + as extreme) / (1 + replicates) (Phipson & Smyth 2010). Raises ValueError for unequal lengths or no values.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or len(x) != len(clusters):
        raise ValueError(f"sign_flip_test: values of shape {x.shape}, {len(clusters)} cluster labels; expected equal")
    place: dict[object, int] = {}
    sums = np.bincount([place.setdefault(label, len(place)) for label in clusters], weights=x)
    sums = sums[np.abs(sums) > 1e-12]
    limit = abs(float(sums.sum())) - 1e-9  # as extreme as what was seen, whatever the rounding
    if len(sums) <= _EXACT_UP_TO:
        bits = (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1  # (patterns, clusters)
        return float(np.mean(np.abs((2 * bits - 1) @ sums) >= limit))
    random = np.random.default_rng(seed)
    extreme, chunk = 0, max(1, _CHUNK_NUMBERS // len(sums))
    for start in range(0, replicates, chunk):
        bits = random.integers(2, size=(min(chunk, replicates - start), len(sums)), dtype=np.int8)
        extreme += int(np.sum(np.abs((2.0 * bits - 1.0) @ sums) >= limit))
    return (1 + extreme) / (1 + replicates)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that the chance of any false finding among them stays at the level (Holm 1979).

    The k-th smallest of m is multiplied by m - k + 1, never below the one before it, never above 1.
    """
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = running
    return adjusted
