"""Wilson's interval for few prompts: against scipy's quantiles and by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from boresight.stats.intervals import _student_t, wilson_clustered, wilson_t


@pytest.mark.parametrize("degrees", [1, 2, 4, 5, 9, 19, 39, 400])
def test_quantiles_of_students_t_are_those_of_scipy(degrees: int) -> None:
    assert _student_t(0.975, degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-3)


def test_interval_by_hand() -> None:
    values = np.array([1, 0.75, 0.5, 0.5, 0.25, 1, 0, 0.5, 0.75, 0.75])
    mean, error2 = values.mean(), values.var(ddof=1) / 10
    n, t2 = mean * (1 - mean) / error2, stats.t.ppf(0.975, 9) ** 2
    centre = (mean + t2 / (2 * n)) / (1 + t2 / n)
    half = math.sqrt(t2) / (1 + t2 / n) * math.sqrt(mean * (1 - mean) / n + t2 / (4 * n * n))
    found = wilson_t(values, range(10))
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-4)
    assert (found.value, found.n) == (mean, 10)


def test_copies_within_a_cluster_change_nothing() -> None:
    values = [1, 0.75, 0.5, 0, 0.25, 1]
    assert wilson_t(values * 2, [*range(6), *range(6)]) == pytest.approx(wilson_t(values, range(6)))


@pytest.mark.parametrize("values", [[1.0] * 7, [0.5] * 7, [0.3]])
def test_where_nothing_varies_it_is_the_capped_interval(values: list[float]) -> None:
    assert wilson_t(values, range(len(values))) == wilson_clustered(values, range(len(values)))


def test_it_stays_within_0_and_1_and_is_wider_with_more_confidence() -> None:
    values = [1.0] * 6 + [0.5]
    usual, sure = wilson_t(values, range(7)), wilson_t(values, range(7), confidence=0.99)
    assert 0 <= sure.low < usual.low < usual.value < usual.high < sure.high <= 1
