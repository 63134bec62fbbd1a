"""Whether confidence is earned: reliability table, ECE, Brier score, log loss and temperature scaling of margins.

A margin m (chosen score minus rejected score, nats) claims that the first response wins with probability sigmoid(m).
`outcome` is what happened: 1 it won, 0 it lost, or a soft label between.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_TEMPERATURES = (1e-3, 1e3)  # the fit is sought between these; a set without error drives T to the lower end


class ReliabilityBin(NamedTuple):
    """Claims of about equal confidence: their mean confidence, the share that held, how many there were."""

    confidence: float
    accuracy: float
    n: int


def sigmoid(x: ArrayLike) -> NDArray[np.float64]:
    """By definition 1 / (1 + exp(-x)), without overflow, any shape."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(x, dtype=np.float64))))


def reliability_table(
    confidence: ArrayLike, correct: ArrayLike, *, bins: int = 10, low: float = 0.0, high: float = 1.0
) -> list[ReliabilityBin]:
    """Claims (n,) sorted into bins of equal width over low..high (DeGroot & Fienberg 1983, the table of their
    diagrams).

    Empty bins are left out, the last bin holds `high`. For a choice between two take `low=0.5`: the confidence in the
    likelier one never lies below. Raises ValueError for no claims, unequal lengths, or a confidence outside low..high.
    """
    sure, held = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if sure.shape != held.shape or sure.ndim != 1 or len(sure) == 0:
        raise ValueError(
            f"reliability: shapes {sure.shape} and {held.shape}; expected two series of equal length, not 0"
        )
    if not (sure.min() >= low and sure.max() <= high):
        raise ValueError(f"reliability: confidence in {sure.min():g}..{sure.max():g}; expected {low:g}..{high:g}")
    place = np.minimum(((sure - low) / (high - low) * bins).astype(np.intp), bins - 1)
    return [
        ReliabilityBin(float(sure[place == i].mean()), float(held[place == i].mean()), int(np.sum(place == i)))
        for i in np.unique(place)
    ]


def expected_calibration_error(table: list[ReliabilityBin]) -> float:
    """Mean over claims of |confidence - accuracy| of their bin (Naeini 2015; Guo et al. 2017, arXiv:1706.04599)."""
    total = sum(row.n for row in table)
    return sum(row.n * abs(row.confidence - row.accuracy) for row in table) / total


def preference_reliability(margin: ArrayLike, outcome: ArrayLike = 1.0, *, bins: int = 10) -> list[ReliabilityBin]:
    """`reliability_table` (DeGroot & Fienberg 1983) of margins (n,): confidence in the likelier response, 0.5..1, and
    how often it was the preferred one.

    A soft `outcome` counts with its share, and a margin of 0, which prefers neither, as a half.
    """
    m = np.asarray(margin, dtype=np.float64)
    y = np.broadcast_to(np.asarray(outcome, dtype=np.float64), m.shape)
    held = np.where(m > 0, y, np.where(m < 0, 1 - y, 0.5))
    p = sigmoid(m)
    return reliability_table(np.maximum(p, 1 - p), held, bins=bins, low=0.5)


def brier_score(margin: ArrayLike, outcome: ArrayLike = 1.0) -> float:
    """Mean squared distance of sigmoid(margin), any shape, from 0/1 outcomes (Brier 1950); of a soft label the
    expectation."""
    p, y = sigmoid(margin), np.asarray(outcome, dtype=np.float64)
    return float(np.mean(y * (1 - p) ** 2 + (1 - y) * p**2))


def negative_log_likelihood(margin: ArrayLike, outcome: ArrayLike = 1.0) -> float:
    """By definition the mean of -y log sigmoid(m) - (1-y) log sigmoid(-m), nats, any shape; log 2 for a model that
    knows nothing."""
    m, y = np.asarray(margin, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    return float(np.mean(np.logaddexp(0.0, -m) + (1 - y) * m))


def fit_temperature(margin: ArrayLike, outcome: ArrayLike = 1.0) -> float:
    """Temperature T > 0 that minimises the log loss of sigmoid(margin / T) (Guo et al. 2017, section 4).

    Margins are (pairs,). T above 1: the margins are over-confident. The loss is convex in 1/T, so the root of its
    slope is found by bisection between T = 0.001 and 1000. The ends are answers too: the lower where no margin errs,
    the upper where margins tell nothing or the wrong way round.
    """
    m, y = np.asarray(margin, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    if m.ndim != 1 or len(m) == 0 or not np.isfinite(m).all():
        raise ValueError(f"fit_temperature: margins of shape {m.shape}; expected (n,), not empty and finite")

    def slope(log_scale: float) -> float:  # of the loss by the scale 1/T
        return float(np.mean(m * (sigmoid(m * np.exp(log_scale)) - y)))

    low, high = -np.log(_TEMPERATURES[1]), -np.log(_TEMPERATURES[0])
    if slope(low) >= 0:
        return _TEMPERATURES[1]
    if slope(high) <= 0:
        return _TEMPERATURES[0]
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))
