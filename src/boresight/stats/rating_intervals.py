"""Intervals of ratings and of their differences, where the verdicts on one prompt go together.

The covariance is the sandwich I^-1 G I^-1: I the information matrix of the Bradley-Terry-Davidson likelihood, G the sum
over clusters of g g', g the cluster's gradient, times K / (K - 1) for K clusters (Liang & Zeger 1986).
"""

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from boresight.stats.ratings import fit_ratings
from boresight.stats.significance import holm

Array = NDArray[np.float64]


class RatedName(NamedTuple):
    """A strength in nats (strengths sum to zero) with its interval."""

    name: str
    strength: float
    low: float
    high: float


class Difference(NamedTuple):
    """Strength of `first` minus that of `second`, in nats; `p_holm` is corrected for all the pairs that were tested."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float


class RatedAll(NamedTuple):
    """Strongest first; `tie_parameter` is Davidson's nu."""

    ratings: tuple[RatedName, ...]
    differences: tuple[Difference, ...]
    tie_parameter: float
    clusters: int


def rate_all(
    contests: Sequence[tuple[str, str, float]], clusters: Sequence[object], confidence: float = 0.95
) -> RatedAll:
    """Ratings from (first, second, verdict), as `fit_ratings`, with intervals over clusters and every pair tested.

    Raises DataError as `fit_ratings` does, and ValueError for unequal lengths.
    """
    if len(contests) != len(clusters):
        raise ValueError(f"rate_all: {len(contests)} contests with {len(clusters)} cluster labels; expected equal")
    fitted = fit_ratings(contests)
    log_nu = math.log(fitted.tie_parameter) if fitted.tie_parameter else None
    gradients, information = _by_contest(contests, fitted.names, np.array(fitted.strength), log_nu)
    place: dict[object, int] = {}
    groups = np.array([place.setdefault(label, len(place)) for label in clusters])
    sums = np.zeros((len(place), gradients.shape[1]))
    np.add.at(sums, groups, gradients)
    inverse = np.linalg.pinv(information, rcond=1e-10, hermitian=True)  # the sum of strengths is not determined
    covariance = inverse @ (sums.T @ sums) @ inverse * len(place) / max(len(place) - 1, 1)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    error = np.sqrt(np.diag(covariance))
    rated = tuple(
        RatedName(name, s, s - z * float(error[i]), s + z * float(error[i]))
        for i, (name, s) in enumerate(zip(fitted.names, fitted.strength, strict=True))
    )
    return RatedAll(rated, _differences(rated, covariance, z), fitted.tie_parameter, len(place))


def _differences(rated: Sequence[RatedName], covariance: Array, z: float) -> tuple[Difference, ...]:
    pairs = list(combinations(range(len(rated)), 2))
    apart = [rated[i].strength - rated[j].strength for i, j in pairs]
    error = [math.sqrt(max(0.0, covariance[i, i] + covariance[j, j] - 2 * covariance[i, j])) for i, j in pairs]
    p = [2 * NormalDist().cdf(-abs(d) / e) if e > 0 else 1.0 for d, e in zip(apart, error, strict=True)]
    return tuple(
        Difference(rated[i].name, rated[j].name, d, d - z * e, d + z * e, p_value, adjusted)
        for (i, j), d, e, p_value, adjusted in zip(pairs, apart, error, p, holm(p), strict=True)
    )


def _by_contest(
    contests: Sequence[tuple[str, str, float]], names: Sequence[str], strength: Array, log_nu: float | None
) -> tuple[Array, Array]:
    """Gradient of each contest's log-likelihood (contests, parameters), and the information of all of them."""
    place = {name: i for i, name in enumerate(names)}
    first = np.array([place[a] for a, _, _ in contests])
    second = np.array([place[b] for _, b, _ in contests])
    outcome = np.array([{1.0: 0, 0.0: 1, 0.5: 2}[verdict] for _, _, verdict in contests])
    rows = np.arange(len(contests))
    logits = np.stack(
        [strength[first], strength[second], (strength[first] + strength[second]) / 2 + (log_nu or 0.0)], axis=1
    )  # (contests, outcomes)
    if log_nu is None:
        logits[:, 2] = -np.inf
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    design = np.zeros((len(contests), 3, len(names) + (log_nu is not None)))
    design[rows, 0, first] = design[rows, 1, second] = 1.0
    design[rows, 2, first] = design[rows, 2, second] = 0.5
    if log_nu is not None:
        design[:, 2, -1] = 1.0
    expected = np.einsum("co,cop->cp", p, design)
    information = np.einsum("co,cop,coq->pq", p, design, design) - expected.T @ expected
    return design[rows, outcome] - expected, information
