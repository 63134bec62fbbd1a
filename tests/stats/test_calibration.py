import math

import numpy as np
import pytest

from boresight.stats.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    preference_reliability,
    reliability_table,
    sigmoid,
)


def test_reliability_and_ece_by_hand() -> None:
    # Bins of width 0.1: {0.62, 0.68} with one of two right, {0.95, 1.0} both right.
    table = reliability_table([0.62, 0.95, 0.68, 1.0], [1, 1, 0, 1])
    assert [row.n for row in table] == [2, 2]
    assert table[0].confidence == pytest.approx(0.65)
    assert table[0].accuracy == 0.5
    assert expected_calibration_error(table) == pytest.approx(0.5 * 0.15 + 0.5 * 0.025)


def test_bins_over_the_upper_half_are_half_as_wide() -> None:
    assert len(reliability_table([0.51, 0.57], [1, 1])) == 1
    assert len(reliability_table([0.51, 0.57], [1, 1], low=0.5)) == 2
    with pytest.raises(ValueError, match=r"0\.4"):
        reliability_table([0.4, 0.9], [1, 1], low=0.5)


def test_scores_of_a_model_that_knows_nothing() -> None:
    assert negative_log_likelihood(np.zeros(5)) == pytest.approx(math.log(2))
    assert brier_score(np.zeros(5)) == 0.25


def test_scores_by_hand() -> None:
    margin = [math.log(3), -math.log(3)]  # claims of 3/4 and 1/4
    assert negative_log_likelihood(margin) == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)
    assert brier_score(margin) == pytest.approx((1 / 16 + 9 / 16) / 2)
    soft = np.array([0.75, 0.25])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert negative_log_likelihood(margin, soft) == pytest.approx(entropy)
    assert brier_score(margin, soft) == pytest.approx(3 / 16)


def test_exchanging_the_responses_changes_no_score() -> None:
    random = np.random.default_rng(2)
    margin, outcome = random.normal(size=50), random.random(50)
    assert negative_log_likelihood(-margin, 1 - outcome) == pytest.approx(negative_log_likelihood(margin, outcome))
    assert brier_score(-margin, 1 - outcome) == pytest.approx(brier_score(margin, outcome))
    assert fit_temperature(-margin, 1 - outcome) == pytest.approx(fit_temperature(margin, outcome))


def test_huge_margins_stay_finite() -> None:
    assert sigmoid([-2000.0, 2000.0]).tolist() == [0.0, 1.0]
    assert negative_log_likelihood([-2000.0]) == 2000.0
    assert negative_log_likelihood([2000.0]) == 0.0


def test_temperature_undoes_a_planted_overconfidence_and_mends_the_ece() -> None:
    random = np.random.default_rng(6)
    honest = random.normal(0, 1.5, size=20_000)
    outcome = (random.random(20_000) < sigmoid(honest)).astype(float)
    margin = 3 * honest
    temperature = fit_temperature(margin, outcome)
    assert temperature == pytest.approx(3, rel=0.05)

    def ece(m: np.ndarray) -> float:
        sure = np.maximum(sigmoid(m), sigmoid(-m))
        return expected_calibration_error(reliability_table(sure, np.where(m > 0, outcome, 1 - outcome), low=0.5))

    assert ece(margin) > 0.1
    assert ece(margin / temperature) < 0.02


def test_temperature_is_where_the_loss_is_least() -> None:
    random = np.random.default_rng(7)
    margin = random.normal(0.5, 2, size=300)
    best = fit_temperature(margin)
    loss = [negative_log_likelihood(margin / t) for t in (0.98 * best, best, 1.02 * best)]
    assert loss[1] < min(loss[0], loss[2])


def test_temperature_ends_where_there_is_no_optimum() -> None:
    assert fit_temperature([1.0, 2.0]) == pytest.approx(1e-3, rel=0.01)  # never wrong: as sure as can be
    assert fit_temperature([-1.0, -2.0]) == 1e3  # always wrong: say nothing
    with pytest.raises(ValueError, match="finite"):
        fit_temperature([1.0, math.nan])


def test_reliability_of_pairs_by_hand():
    # sigmoid(ln 3) = 0.75 and sigmoid(-ln 9) = 0.1: confidences 0.75 in the first response, 0.9 in the second, 0.5 in
    # neither. The soft label 0.8 holds with 0.8 of itself; of the second the label 0.3 leaves 0.7 for the likelier one.
    table = preference_reliability([np.log(3.0), -np.log(9.0), 0.0], [0.8, 0.3, 1.0])
    assert [tuple(row) for row in table] == [
        pytest.approx(row) for row in ((0.5, 0.5, 1), (0.75, 0.8, 1), (0.9, 0.7, 1))
    ]
    assert expected_calibration_error(table) == pytest.approx((0.0 + 0.05 + 0.2) / 3)
