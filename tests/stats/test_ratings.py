import itertools
import math

import numpy as np
import pytest

from boresight.errors import DataError
from boresight.stats.ratings import fit_ratings

# American League 1987, wins of row over column: Agresti, Categorical Data Analysis, section on Bradley-Terry.
TEAMS = ["Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore"]
WINS = [
    [0, 7, 9, 7, 7, 9, 11], [6, 0, 7, 5, 11, 9, 9], [4, 6, 0, 7, 7, 8, 12], [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12], [4, 4, 5, 6, 6, 0, 6], [2, 4, 1, 3, 1, 7, 0],
]  # fmt: skip
PUBLISHED = [1.581, 1.436, 1.294, 1.248, 1.108, 0.684, 0.0]  # relative to Baltimore


def _league() -> list[tuple[str, str, float]]:
    return [(TEAMS[i], TEAMS[j], 1.0) for i, j in itertools.product(range(7), repeat=2) for _game in range(WINS[i][j])]


def test_baseball_strengths_are_the_published_ones() -> None:
    ratings = fit_ratings(_league())
    strength = dict(zip(ratings.names, ratings.strength, strict=True))
    assert [strength[team] - strength["Baltimore"] for team in TEAMS] == pytest.approx(PUBLISHED, abs=5e-4)
    assert list(ratings.names) == TEAMS  # strongest first
    assert sum(ratings.strength) == pytest.approx(0, abs=1e-12)
    assert ratings.tie_parameter == 0
    assert ratings.comparisons == 273


def test_two_names_with_ties_have_the_closed_form() -> None:
    # 6 wins, 3 losses, 4 ties: the model is saturated, so exp(s_a - s_b) = 6/3 and nu = 4 / sqrt(6 * 3).
    ratings = fit_ratings([("a", "b", 1)] * 6 + [("b", "a", 1)] * 3 + [("a", "b", 0.5)] * 4)
    assert ratings.names == ("a", "b")
    assert ratings.strength[0] - ratings.strength[1] == pytest.approx(math.log(2), abs=1e-9)
    assert ratings.tie_parameter == pytest.approx(4 / math.sqrt(18), abs=1e-9)
    expected = 6 * math.log(6 / 13) + 3 * math.log(3 / 13) + 4 * math.log(4 / 13)
    assert ratings.log_likelihood == pytest.approx(expected, abs=1e-9)
    # Without ties the difference has variance 1/6 + 1/3 (the delta method on log(6/3)), each strength a quarter of it.
    assert ratings.standard_error[0] == pytest.approx(math.sqrt(1 / 6 + 1 / 3) / 2, abs=1e-9)


def test_planted_strengths_are_recovered_within_their_errors() -> None:
    random = np.random.default_rng(5)
    names, strength, nu = list("abcdef"), np.array([1.0, 0.6, 0.2, -0.2, -0.6, -1.0]), 0.7
    games: list[tuple[str, str, float]] = []
    for i, j in itertools.combinations(range(6), 2):
        weight = np.array(
            [math.exp(strength[i]), math.exp(strength[j]), nu * math.exp((strength[i] + strength[j]) / 2)]
        )
        games += [(names[i], names[j], v) for v in random.choice([1.0, 0.0, 0.5], size=300, p=weight / weight.sum())]
    ratings = fit_ratings(games)
    found = dict(zip(ratings.names, zip(ratings.strength, ratings.standard_error, strict=True), strict=True))
    for name, truth in zip(names, strength, strict=True):
        assert abs(found[name][0] - truth) < 3 * found[name][1]
        assert found[name][1] < 0.1
    assert ratings.tie_parameter == pytest.approx(nu, rel=0.15)


def test_exchanging_the_sides_changes_nothing() -> None:
    games = [("a", "b", 1.0), ("b", "c", 1.0), ("c", "a", 1.0), ("a", "c", 0.5), ("a", "b", 1.0)]
    turned = [(second, first, 1 - verdict) for first, second, verdict in games]
    assert fit_ratings(games) == fit_ratings(turned)


def test_parts_that_never_met_are_named() -> None:
    with pytest.raises(DataError, match=r"\['a', 'b'\] were never compared with \['c', 'd'\]"):
        fit_ratings([("a", "b", 1), ("b", "a", 1), ("c", "d", 1), ("d", "c", 1)])


def test_a_name_that_never_won_is_named() -> None:
    with pytest.raises(DataError, match=r"\['weak'\] never won"):
        fit_ratings([("a", "b", 1), ("b", "a", 1), ("a", "weak", 1), ("b", "weak", 1)])


def test_ties_alone_do_not_make_a_lost_cause_finite() -> None:
    with pytest.raises(DataError, match="only ties point back"):
        fit_ratings([("a", "b", 1), ("a", "b", 0.5)])
    with pytest.raises(DataError, match="none decided"):
        fit_ratings([("a", "b", 0.5)])


def test_a_cycle_with_more_wins_than_ties_is_enough() -> None:
    ratings = fit_ratings([("a", "b", 1), ("b", "c", 1), ("c", "a", 0.5)])
    assert ratings.names == ("a", "b", "c")
    assert max(ratings.strength) < 5


@pytest.mark.parametrize("row", [("a", "a", 1.0), ("a", "b", 0.7)])
def test_impossible_rows_are_refused_with_their_place(row: tuple[str, str, float]) -> None:
    with pytest.raises(DataError, match="comparison 1 "):
        fit_ratings([("a", "b", 1.0), row])
