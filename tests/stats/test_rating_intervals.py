import math

import numpy as np
import pytest

from boresight.stats.rating_intervals import rate_all
from boresight.stats.ratings import fit_ratings


def _wins(wins: int, losses: int) -> list[tuple[str, str, float]]:
    return [("a", "b", 1.0)] * wins + [("a", "b", 0.0)] * losses


def test_two_models_without_ties_by_hand() -> None:
    # log odds of 60 to 40 have variance 1/60 + 1/40; the sandwich of single contests equals that times K/(K-1).
    rated = rate_all(_wins(60, 40), range(100))
    (apart,) = rated.differences
    assert apart.difference == pytest.approx(math.log(60 / 40))
    error = math.sqrt((1 / 60 + 1 / 40) * 100 / 99)
    assert (apart.low, apart.high) == pytest.approx(
        (apart.difference - 1.959964 * error, apart.difference + 1.959964 * error)
    )
    assert apart.p_value == pytest.approx(math.erfc(apart.difference / error / math.sqrt(2)))


def test_contests_copied_within_a_cluster_add_no_certainty() -> None:
    once = rate_all(_wins(60, 40), range(100))
    twice = rate_all(_wins(60, 40) * 2, [*range(100), *range(100)])
    assert twice.ratings[0].strength == pytest.approx(once.ratings[0].strength)
    assert twice.ratings[0].high == pytest.approx(once.ratings[0].high)


def test_strengths_are_those_of_the_plain_fit_and_errors_near_its_own() -> None:
    random = np.random.default_rng(0)
    names, strength = ("a", "b", "c"), {"a": 0.5, "b": 0.0, "c": -0.5}
    contests = []
    for _ in range(900):
        first, second = random.choice(names, 2, replace=False)
        weights = np.exp([strength[first], strength[second], (strength[first] + strength[second]) / 2 - 1.0])
        contests.append((str(first), str(second), float(random.choice([1.0, 0.0, 0.5], p=weights / weights.sum()))))
    plain, rated = fit_ratings(contests), rate_all(contests, range(900))
    assert [one.strength for one in rated.ratings] == pytest.approx(plain.strength)
    widths = [(one.high - one.low) / (2 * 1.959964) for one in rated.ratings]
    assert widths == pytest.approx(plain.standard_error, rel=0.1)  # the model is true and the contests are independent
