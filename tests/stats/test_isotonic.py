"""Isotonic regression against what it is: the best non-decreasing fit, found another way."""

import numpy as np
import pytest

from boresight.stats.isotonic import isotonic_fit


def by_min_max(y: np.ndarray) -> np.ndarray:
    """The max-min formula (Robertson, Wright & Dykstra 1988, section 1.4) over sorted, distinct x."""
    n = len(y)
    return np.array([
        max(min(y[i : j + 1].mean() for j in range(k, n)) for i in range(k + 1)) for k in range(n)
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_fit_is_that_of_the_max_min_formula(seed: int) -> None:
    random = np.random.default_rng(seed)
    y = np.linspace(0, 1, 20) + random.normal(0, 0.3, 20)
    fit = isotonic_fit(np.arange(20), y)
    assert fit.y == pytest.approx(by_min_max(y))


def test_equal_x_are_pooled_and_between_steps_it_is_interpolated() -> None:
    fit = isotonic_fit([1.0, 1.0, 0.0], [1.0, 0.0, 0.25])
    assert fit.x.tolist() == [0.0, 1.0] and fit.y.tolist() == [0.25, 0.5]
    assert fit.at([-1.0, 0.5, 2.0]).tolist() == [0.25, 0.375, 0.5]


@pytest.mark.parametrize(("x", "y"), [([], []), ([1.0], [1.0, 2.0])])
def test_nothing_to_fit_is_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(ValueError, match="isotonic_fit"):
        isotonic_fit(x, y)
