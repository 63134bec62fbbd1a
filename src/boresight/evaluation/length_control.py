"""Win rates as they would be at equal lengths: a logistic model of the judge's verdicts, with length taken out.

    P(model m wins on i) = sigmoid(strength_m + length_m x_mi + difficulty_i),   x_mi = tanh(d_mi / sd_m(d))

d is the candidate's length minus the baseline's, in characters (Dubois et al. 2024, arXiv:2404.04475). The length-
controlled win rate is the mean of sigmoid(strength_m + difficulty_i): the same model with x = 0. Several models of one
judge are fitted together: difficulty_i ~ N(0, 1/p) is shared by all models, and length_m ~ N(length, tau^2) is shrunk
to a common coefficient length ~ N(0, 1/c). One model alone says nothing of difficulties; its length_m is shrunk to 0.

p has the least loss on held-out verdicts. tau is the smallest, and then c the largest, whose loss lies within one
standard error of the least (Breiman et al. 1984, section 3.4.3): a model that is nearly always shorter than the
baseline cannot tell its strength from its length coefficient, and the length preference of one judge should not depend
on whom it judges, nor be thought stronger than its verdicts demand.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from boresight.errors import DataError
from boresight.stats.calibration import sigmoid

Array = NDArray[np.float64]
Places = NDArray[np.intp]

TAUS = (0.01, 0.1, 0.3, 0.5, 1.0, 2.0)
DIFFICULTY_PENALTIES = (0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
CENTRE_PENALTIES = (100.0, 30.0, 10.0, 3.0, 1.0, 0.0)
LEAST_CENTRE = 1e-9  # where no lengths differ, nothing else holds the common coefficient
STRENGTH_PENALTY = 0.01  # keeps the strength of a model that wins or loses everything finite
FOLDS, REPEATS = 5, 4


class LengthVerdicts(NamedTuple):
    """One model's verdicts: instruction, value in 0..1 for the model, and length minus the baseline's, all (n,)."""

    instructions: Sequence[str]
    values: Array
    length_differences: Array


class LengthControlled(NamedTuple):
    """Win rate at equal lengths and its standard error, as fractions, and the length coefficient that was taken out."""

    win_rate: float
    standard_error: float
    length_coefficient: float


class _Cells(NamedTuple):
    """All verdicts of all models, one a row."""

    model: Places
    instruction: Places
    x: Array
    value: Array
    models: int
    instructions: int

    def rows(self, keep: NDArray[np.bool_]) -> "_Cells":
        return self._replace(
            model=self.model[keep], instruction=self.instruction[keep], x=self.x[keep], value=self.value[keep]
        )


class _Fit(NamedTuple):
    strength: Array  # (models,)
    length: Array  # (models,)
    difficulty: Array  # (instructions,)

    def logits(self, cells: _Cells, *, at_equal_length: bool = False) -> Array:
        x = 0.0 if at_equal_length else cells.x
        return self.strength[cells.model] + self.length[cells.model] * x + self.difficulty[cells.instruction]


def length_controlled(models: Sequence[LengthVerdicts], *, seed: int = 0) -> list[LengthControlled]:
    """Length-controlled win rates of models judged by one judge against one baseline."""
    cells = _cells(models)
    fit = _chosen_fit(cells, seed)
    share = sigmoid(fit.logits(cells, at_equal_length=True))
    return [_summary(share[cells.model == m], float(fit.length[m])) for m in range(cells.models)]


def _summary(share: Array, coefficient: float) -> LengthControlled:
    return LengthControlled(float(share.mean()), float(share.std(ddof=1) / np.sqrt(len(share))), coefficient)


def scaled_lengths(differences: Array) -> Array:
    """tanh(d / sd(d)), 0 where all lengths are equal."""
    deviation = float(differences.std())
    return np.tanh(differences / deviation) if deviation > 0 else np.zeros_like(differences)


def _cells(models: Sequence[LengthVerdicts]) -> _Cells:
    place: dict[str, int] = {}
    numbers = [[place.setdefault(text, len(place)) for text in model.instructions] for model in models]
    if not models or min(map(len, numbers)) < 2:
        raise DataError("length control: a model with fewer than 2 verdicts; expected at least 2. Judge more prompts.")
    return _Cells(
        model=np.repeat(np.arange(len(models)), [len(own) for own in numbers]),
        instruction=np.concatenate([np.array(own, dtype=np.intp) for own in numbers]),
        x=np.concatenate([scaled_lengths(np.asarray(model.length_differences, dtype=float)) for model in models]),
        value=np.concatenate([np.asarray(model.values, dtype=float) for model in models]),
        models=len(models),
        instructions=len(place),
    )


def _chosen_fit(cells: _Cells, seed: int) -> _Fit:
    """For each tau the best penalty of difficulties, then the smallest tau, and with it the strongest penalty of the
    common coefficient, that are as good as the best within one standard error."""
    random = np.random.default_rng(seed)
    folds = [random.permutation(len(cells.value)) % FOLDS for _ in range(REPEATS)]
    penalties = DIFFICULTY_PENALTIES if cells.models > 1 else (np.inf,)
    losses: dict[float, tuple[Array, float]] = {}
    for tau in TAUS:
        tried = [(_held_out_losses(cells, folds, tau, penalty), penalty) for penalty in penalties]
        losses[tau] = min(tried, key=lambda found: float(found[0].mean()))
    best, _ = min(losses.values(), key=lambda found: float(found[0].mean()))
    limit = float(best.mean()) + _standard_error(best, cells.instruction)
    tau = next(tau for tau in TAUS if losses[tau][0].mean() <= limit)
    penalty = losses[tau][1]
    centres = CENTRE_PENALTIES if cells.models > 1 else (0.0,)
    centre = next(c for c in centres if c == 0 or _held_out_losses(cells, folds, tau, penalty, c).mean() <= limit)
    return _fit(cells, tau, penalty, centre)


def _held_out_losses(cells: _Cells, folds: Sequence[Places], tau: float, penalty: float, centre: float = 0.0) -> Array:
    """Log loss of each verdict by fits that did not see it, averaged over several ways to part the verdicts."""
    losses = np.zeros(len(cells.value))
    for fold in folds:
        for number in range(FOLDS):
            held = fold == number
            logits = _fit(cells.rows(~held), tau, penalty, centre).logits(cells.rows(held))
            losses[held] += (np.logaddexp(0.0, logits) - cells.value[held] * logits) / len(folds)
    return losses


def _standard_error(losses: Array, clusters: Places) -> float:
    """Of the mean loss, over instructions: verdicts on one instruction go together."""
    residual = np.bincount(clusters, weights=losses - losses.mean())
    return float(np.sqrt(residual @ residual)) / len(losses)


def _fit(cells: _Cells, tau: float, penalty: float, centre: float = 0.0) -> _Fit:
    """Newton's method on the penalised log-likelihood, which is concave.

    The parameters are strengths, length coefficients and, with several models, their common centre. Difficulties
    touch one instruction each, so that their block of the Hessian is diagonal and is eliminated (Schur complement).
    """
    count, shared = cells.models, cells.models > 1
    size = 2 * count + shared
    ridge = _ridge(count, tau, centre, shared)
    design = _Design(cells, size)
    outer, difficulty = np.zeros(size), np.zeros(cells.instructions)
    for _ in range(50):
        fit = _Fit(outer[:count], outer[count : 2 * count], difficulty)
        p = sigmoid(fit.logits(cells))
        slope = design.by_parameter(p - cells.value) + ridge @ outer
        hessian = design.hessian(p * (1 - p)) + ridge
        if np.isfinite(penalty):
            own = np.bincount(cells.instruction, p - cells.value, cells.instructions) + penalty * difficulty
            diagonal = np.bincount(cells.instruction, p * (1 - p), cells.instructions) + penalty
            cross = design.cross(p * (1 - p))  # (parameters, instructions)
            step = np.linalg.solve(hessian - (cross / diagonal) @ cross.T, slope - cross @ (own / diagonal))
            difficulty = difficulty - (own - cross.T @ step) / diagonal
        else:
            step = np.linalg.solve(hessian, slope)
        outer = outer - step
        if np.abs(step).max() < 1e-8:
            break
    return _Fit(outer[:count], outer[count : 2 * count], difficulty)


def _ridge(count: int, tau: float, centre: float, shared: bool) -> Array:
    """The penalties of strengths and length coefficients as a quadratic form."""
    ridge = np.zeros((2 * count + shared, 2 * count + shared))
    lengths = np.arange(count, 2 * count)
    ridge[np.arange(count), np.arange(count)] = STRENGTH_PENALTY
    ridge[lengths, lengths] = 1 / tau**2
    if shared:
        ridge[lengths, -1] = ridge[-1, lengths] = -1 / tau**2
        ridge[-1, -1] = count / tau**2 + max(centre, LEAST_CENTRE)
    return ridge


class _Design:
    """Sums over verdicts by parameter: a verdict touches its model's strength (1) and length coefficient (x)."""

    def __init__(self, cells: _Cells, size: int) -> None:
        self.cells, self.size = cells, size

    def by_parameter(self, weight: Array) -> Array:
        model, count = self.cells.model, self.cells.models
        sums = np.zeros(self.size)
        sums[:count] = np.bincount(model, weight, count)
        sums[count : 2 * count] = np.bincount(model, weight * self.cells.x, count)
        return sums

    def hessian(self, weight: Array) -> Array:
        model, count, x = self.cells.model, self.cells.models, self.cells.x
        strength, length = np.arange(count), np.arange(count, 2 * count)
        hessian = np.zeros((self.size, self.size))
        hessian[strength, strength] = np.bincount(model, weight, count)
        hessian[length, length] = np.bincount(model, weight * x * x, count)
        hessian[strength, length] = hessian[length, strength] = np.bincount(model, weight * x, count)
        return hessian

    def cross(self, weight: Array) -> Array:
        count, wide = self.cells.models, self.cells.instructions
        place = self.cells.model * wide + self.cells.instruction
        sums = np.zeros((self.size, wide))
        sums[:count] = np.bincount(place, weight, count * wide).reshape(count, wide)
        sums[count : 2 * count] = np.bincount(place, weight * self.cells.x, count * wide).reshape(count, wide)
        return sums
