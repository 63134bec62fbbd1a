"""Isotonic regression: the non-decreasing function nearest to values in squares (Barlow et al. 1972)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Isotonic(NamedTuple):
    """`y[i]` belongs to `x[i]`; between two of them the value is interpolated, outside it stays at the ends."""

    x: Array
    y: Array

    def at(self, x: ArrayLike) -> Array:
        """The fit at each of `x`, any shape."""
        return np.asarray(np.interp(np.asarray(x, dtype=np.float64), self.x, self.y))


def isotonic_fit(x: ArrayLike, y: ArrayLike) -> Isotonic:
    """Fit to (n,) by pooling adjacent violators; equal `x` are pooled first.

    Raises ValueError for no values and for unequal lengths.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if xs.ndim != 1 or len(xs) == 0 or xs.shape != ys.shape:
        raise ValueError(f"isotonic_fit: shapes {xs.shape} and {ys.shape}; expected two of (n,), not empty")
    values, place = np.unique(xs, return_inverse=True)
    weights = np.bincount(place).astype(np.float64)
    means = np.bincount(place, weights=ys) / weights
    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many of `values`
    for mean, own in zip(means.tolist(), weights.tolist(), strict=True):
        blocks.append((mean, own, 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (m1, w1, n1), (m2, w2, n2) = blocks[-2:]
            blocks[-2:] = [((m1 * w1 + m2 * w2) / (w1 + w2), w1 + w2, n1 + n2)]
    return Isotonic(values, np.repeat([mean for mean, _, _ in blocks], [n for _, _, n in blocks]))
