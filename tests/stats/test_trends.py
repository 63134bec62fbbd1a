import numpy as np
import pytest

from boresight.stats.trends import MOST_POINTS, blocks, change_point, deviation, trend


def test_theil_sen_slope_of_a_hand_example_ignores_the_outlier() -> None:
    # Slopes of all pairs of (0, 1, 2, 100, 4): 1, 1, 33.3, 1, 1, 49.5, 1, 98, 1, -96; their median is 1.
    found = trend(np.array([0.0, 1, 2, 100, 4]))
    assert found.change == 4.0


def test_mann_kendall_of_a_strictly_rising_series() -> None:
    # n = 10: S = 45, variance = 10 * 9 * 25 / 18 = 125, z = 44 / sqrt(125).
    assert trend(np.arange(10.0)).z == pytest.approx(44 / 125**0.5)
    assert trend(-np.arange(10.0)).z == pytest.approx(-44 / 125**0.5)


def test_ties_count_for_no_direction() -> None:
    assert trend(np.ones(20)) == (0.0, 0.0, 0.0)


def test_a_short_series_has_no_trend() -> None:
    assert trend(np.array([1.0, 2.0])) == (0.0, 0.0, 0.0)


def test_deviation_is_that_of_a_normal_distribution_and_survives_outliers() -> None:
    x = np.random.default_rng(0).normal(5, 2, 20_000)
    x[:2000] = 1e9
    assert deviation(x) == pytest.approx(2.3, abs=0.25)


def test_thinning_keeps_a_trend_and_bounds_the_work() -> None:
    long = np.arange(1_000_000.0)
    assert len(blocks(long)) == MOST_POINTS
    assert trend(long).change == pytest.approx(1e6, rel=0.01)


def test_change_point_is_found_where_the_level_jumps() -> None:
    found = change_point(np.array([1.0] * 30 + [5.0] * 10))
    assert found is not None and (found.place, found.before, found.after) == (30, 1.0, 5.0)
    assert change_point(np.ones(4)) is None
