"""Strengths of models from pairwise comparisons with ties: Bradley-Terry with Davidson's tie term, by Newton's method.

    P(i wins) = exp(s_i) / Z,  P(j wins) = exp(s_j) / Z,  P(tie) = nu exp((s_i + s_j) / 2) / Z

Bradley & Terry 1952; Davidson 1970. Strengths s are in nats and sum to zero. The log-likelihood is concave in
(s, log nu), so the maximum is unique where it exists, and whether it exists is checked before it is sought.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from boresight.errors import DataError

Array = NDArray[np.float64]
ELO_PER_NAT = 400 / np.log(10)  # multiply a strength by this for the Elo scale


class Ratings(NamedTuple):
    """Strengths in nats (they sum to zero) with their standard errors, strongest first; `tie_parameter` is nu."""

    names: tuple[str, ...]
    strength: tuple[float, ...]
    standard_error: tuple[float, ...]
    tie_parameter: float
    log_likelihood: float
    comparisons: int


def fit_ratings(comparisons: Iterable[tuple[str, str, float]]) -> Ratings:
    """Maximum-likelihood strengths from (first, second, verdict): 1 the first won, 0 the second, 0.5 a tie.

    Raises DataError for a verdict that is none of these, for a name compared with itself, and where no finite maximum
    exists: names in parts that were never compared, or a group that never lost to the rest.
    """
    names, wins, ties = _count(list(comparisons))
    _check_maximum_exists(names, wins, ties)
    tied = bool(ties.any())
    parameters = np.zeros(len(names) + tied)
    likelihood, gradient, information = _likelihood(parameters, wins, ties)
    for _ in range(100):
        if np.abs(gradient).max() < 1e-10 * wins.sum() + 1e-12:
            break
        step = np.linalg.lstsq(information, gradient, rcond=None)[0]  # minimum norm: keeps the sum of strengths at zero
        scale = 1.0
        while (trial := _likelihood(parameters + scale * step, wins, ties))[0] < likelihood and scale > 1e-10:
            scale /= 2
        parameters = parameters + scale * step
        likelihood, gradient, information = trial
    strength = parameters[: len(names)] - parameters[: len(names)].mean()
    error = np.sqrt(np.diag(np.linalg.pinv(information, hermitian=True))[: len(names)])
    order = np.argsort(-strength, kind="stable")
    return Ratings(
        names=tuple(names[i] for i in order),
        strength=tuple(float(strength[i]) for i in order),
        standard_error=tuple(float(error[i]) for i in order),
        tie_parameter=float(np.exp(parameters[-1])) if tied else 0.0,
        log_likelihood=likelihood,
        comparisons=int(wins.sum() + ties.sum() / 2),
    )


def _count(comparisons: list[tuple[str, str, float]]) -> tuple[list[str], Array, Array]:
    """Names, wins[i, j] of i over j, and ties[i, j] (symmetric: each tie stands on both sides)."""
    names = sorted({name for first, second, _ in comparisons for name in (first, second)})
    place = {name: i for i, name in enumerate(names)}
    wins, ties = np.zeros((len(names), len(names))), np.zeros((len(names), len(names)))
    for row, (first, second, verdict) in enumerate(comparisons):
        if first == second or verdict not in (0, 0.5, 1):
            raise DataError(
                f"ratings: comparison {row} ({first!r} against {second!r}, verdict {verdict}): expected two different "
                "names and a verdict of 1 (the first won), 0 (the second won) or 0.5 (a tie). Correct the record."
            )
        i, j = place[first], place[second]
        if verdict == 0.5:
            ties[i, j] += 1
            ties[j, i] += 1
        else:
            wins[(i, j) if verdict == 1 else (j, i)] += 1
    if not wins.any():
        raise DataError(
            f"ratings: {len(comparisons)} comparisons, none decided; expected wins on both sides. Compare more."
        )
    return names, wins, ties


def _likelihood(parameters: Array, wins: Array, ties: Array) -> tuple[float, Array, Array]:
    """Log-likelihood with gradient and information matrix (minus the Hessian) by strengths and, with ties, log nu."""
    count = len(wins)
    s, log_nu = parameters[:count], parameters[count] if len(parameters) > count else -np.inf
    first, second = np.nonzero(np.triu(wins + wins.T + ties))
    rows = np.arange(len(first))
    logits = np.stack([s[first], s[second], (s[first] + s[second]) / 2 + log_nu], axis=1)  # (pairs, outcomes)
    seen = np.stack([wins[first, second], wins[second, first], ties[first, second]], axis=1)
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    p, n = np.exp(log_p), seen.sum(axis=1)
    # Every outcome's exponent is linear in the parameters; row by row these are its coefficients.
    design = np.zeros((len(first), 3, len(parameters)))
    design[rows, 0, first] = design[rows, 1, second] = 1.0
    design[rows, 2, first] = design[rows, 2, second] = 0.5
    if len(parameters) > count:
        design[:, 2, count] = 1.0
    expected = np.einsum("ro,rop->rp", p, design)
    gradient = np.einsum("ro,rop->p", seen - n[:, None] * p, design)
    second_moment = np.einsum("ro,rop,roq->pq", n[:, None] * p, design, design)
    information = second_moment - np.einsum("r,rp,rq->pq", n, expected, expected)
    return float(np.sum(seen[seen > 0] * log_p[seen > 0])), gradient, information


def _check_maximum_exists(names: list[str], wins: Array, ties: Array) -> None:
    """Raise DataError unless every strength, and nu, has a finite estimate (Ford 1957, with ties going both ways)."""
    met = _reachable((wins + wins.T + ties) > 0)
    if not met.all():
        part = [names[i] for i in np.nonzero(met[0])[0]]
        rest = [names[i] for i in np.nonzero(~met[0])[0]]
        raise DataError(
            f"ratings: {part} were never compared with {rest}, directly or through others, so their strengths have no "
            "common scale. Add comparisons between the two groups, or rate each group by itself."
        )
    beats = _reachable((wins + ties) > 0)  # a tie counts for both
    if not beats.all():
        weakest = int(np.argmin(beats.sum(axis=1)))
        losers = [names[i] for i in np.nonzero(beats[weakest])[0]]
        raise DataError(
            f"ratings: {losers} never won against or tied with any of the others, so the difference in strength has no "
            "finite estimate. Add comparisons that they may win, or leave them out."
        )
    if ties.any() and not _more_wins_than_ties_on_a_cycle(wins, ties):
        raise DataError(
            "ratings: the wins all point one way and only ties point back, so the strengths and the tie parameter have "
            "no finite estimate. Add comparisons until some name both wins against and loses to a name of its level."
        )


def _reachable(edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """reached[i, j]: a path leads from i to j."""
    reached = edges | np.eye(len(edges), dtype=bool)
    for middle in range(len(edges)):
        reached |= reached[:, [middle]] & reached[[middle], :]
    return reached


def _more_wins_than_ties_on_a_cycle(wins: Array, ties: Array) -> bool:
    """Whether some cycle has more wins than ties (a win goes one way, a tie both).

    Without one the differences s_i - s_j and log nu could grow together for ever: every win asks for s_i >= s_j + 2c,
    every tie allows |s_i - s_j| <= 2c, and these have a common solution for c > 0. Longest paths (Bellman-Ford) tell.
    """
    weight = np.where(wins > 0, 1.0, np.where(ties > 0, -1.0, -np.inf))
    distance = np.zeros(len(wins))
    for _ in range(len(wins)):
        longer = np.maximum(distance, (weight + distance[None, :]).max(axis=1))
        if np.array_equal(longer, distance):
            return False
        distance = longer
    return True
