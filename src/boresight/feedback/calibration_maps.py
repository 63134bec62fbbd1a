"""From a judge's probability to people's: Platt's line, the same with length, and isotonic regression.

Which of two responses is called `a` is chance, so every map is symmetric, g(1 - p, -length) = 1 - g(p, length): it is
fitted to each couple in both namings, and Platt's line has no intercept.

    platt         logit g = s logit p
    platt_length  logit g = s logit p + c x,   x = tanh((characters of a - characters of b) / scale)
    isotonic      g is the non-decreasing step function nearest to what people said

Platt 1999; Zadrozny & Elkan 2002; the length term is that of Dubois et al. 2024 (arXiv:2404.04475). It takes out what a
judge thinks of length beyond what people do.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from boresight.errors import DataError
from boresight.stats.calibration import sigmoid
from boresight.stats.isotonic import Isotonic, isotonic_fit

Array = NDArray[np.float64]
EDGE = 0.01
"""A hard verdict of 0 or 1 has no finite logit; it is taken for this much less sure. Platt's slope does the rest."""
RIDGE = 1e-2
"""Penalty of the coefficients, so that verdicts without error keep them finite."""


class CalibrationMap(Protocol):
    """Probabilities (n,) that `a` is better, and length differences (n,) in characters, to people's probabilities."""

    name: str

    def apply(self, p: Array, length: Array) -> Array:
        """(n,) probabilities of people, from the judge's `p` (n,) and `length` (n,), in characters, of `a` less `b`."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Name and coefficients; `map_from_json` reads it."""
        ...


class PlattMap:
    """`length`: coefficient of the length term; without one (0) lengths are not looked at."""

    def __init__(self, slope: float, length: float = 0.0, scale: float = 0.0) -> None:
        self.slope, self.length, self.scale = slope, length, scale
        self.name = "platt_length" if scale else "platt"

    def apply(self, p: Array, length: Array) -> Array:
        logits = self.slope * edge_logit(p)
        return sigmoid(logits + self.length * np.tanh(length / self.scale) if self.scale else logits)

    def as_json(self) -> dict[str, Any]:
        terms = {"length": self.length, "scale": self.scale} if self.scale else {}
        return {"name": self.name, "slope": self.slope, **terms}


class IsotonicMap:
    """Steps in p; never surer than the sample allows by Laplace's rule of succession."""

    name = "isotonic"

    def __init__(self, steps: Isotonic) -> None:
        self.steps = steps

    def apply(self, p: Array, length: Array) -> Array:
        return self.steps.at(p)

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "p": self.steps.x.tolist(), "people": self.steps.y.tolist()}


def fit_map(name: str, p: Array, length: Array, people: Array) -> CalibrationMap:
    """Fit one map to judge probabilities, length differences and people's probabilities, all (n,)."""
    both_p, both_people = np.concatenate([p, 1 - p]), np.concatenate([people, 1 - people])
    if name == "isotonic":
        # 0.3 + 0.7 and its mirror differ in the last bit; as steps they would part.
        steps = isotonic_fit(np.round(both_p, 9), both_people)
        edge = 1 / (len(p) + 2)
        return IsotonicMap(Isotonic(steps.x, np.clip(steps.y, edge, 1 - edge)))
    terms, scale = [edge_logit(both_p)], 0.0
    if name == "platt_length":
        scale = float(np.sqrt(np.mean(length**2))) or 1.0
        terms.append(np.tanh(np.concatenate([length, -length]) / scale))
    found = logistic_fit(np.stack(terms, axis=1), both_people)
    return PlattMap(float(found[0]), float(found[1]) if scale else 0.0, scale)


def map_from_json(content: Mapping[str, Any], where: str) -> CalibrationMap:
    """Raises DataError for what no map wrote."""
    try:
        if content["name"] == "isotonic":
            x, y = _numbers(content["p"]), _numbers(content["people"])
            if len(x) != len(y) or len(x) == 0 or (np.diff(x) <= 0).any() or y.min() < 0 or y.max() > 1:
                raise ValueError("steps that do not rise")
            return IsotonicMap(Isotonic(x, y))
        if content["name"] == "platt":
            return PlattMap(float(content["slope"]))
        if content["name"] == "platt_length":
            return PlattMap(float(content["slope"]), float(content["length"]), float(content["scale"]))
        raise ValueError(f"unknown name {content['name']!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f'{where}: "map" cannot be read ({error}); expected what `judge calibrate` wrote. Calibrate again.'
        ) from error


def logistic_fit(terms: Array, outcome: Array) -> Array:
    """Coefficients (k,) of a logistic regression without intercept on terms (n, k), by Newton's method; concave."""
    found = np.zeros(terms.shape[1])
    for _ in range(50):
        p = sigmoid(terms @ found)
        slope = terms.T @ (p - outcome) + RIDGE * found
        hessian = (terms * (p * (1 - p))[:, None]).T @ terms + RIDGE * np.eye(len(found))
        step = np.linalg.solve(hessian, slope)
        found = found - step
        if np.abs(step).max() < 1e-10:
            break
    return found


def edge_logit(p: Array) -> Array:
    """log(p / (1-p)) with p held within EDGE of 0 and 1."""
    held = np.clip(p, EDGE, 1 - EDGE)
    return np.log(held / (1 - held))


def _numbers(values: Sequence[Any]) -> Array:
    return np.array([float(value) for value in values])
