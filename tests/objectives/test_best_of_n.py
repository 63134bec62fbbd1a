import math

import numpy as np
import pytest

from boresight.objectives.best_of_n import best_of_n_kl_bound


def exact_kl(probability: np.ndarray, n: int) -> float:
    """KL(best of n || one draw), responses in ascending order of score: the best is at most the i-th with P(i)^n."""
    below = np.concatenate([[0.0], np.cumsum(probability)])
    best = np.diff(below**n)
    seen = best > 0
    return float((best[seen] * np.log(best[seen] / probability[seen])).sum())


@pytest.mark.parametrize("n", [1, 2, 4, 16, 100])
def test_bound_is_reached_where_every_response_is_unlikely_and_scores_differ(n: int) -> None:
    assert exact_kl(np.full(200_000, 1 / 200_000), n) == pytest.approx(best_of_n_kl_bound(n), abs=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_no_distribution_exceeds_the_bound(seed: int) -> None:
    probability = np.random.default_rng(seed).dirichlet([0.3] * 6)
    for n in (2, 4, 16):
        assert exact_kl(probability, n) < best_of_n_kl_bound(n)


def test_bound_by_hand() -> None:
    assert best_of_n_kl_bound(1) == 0.0
    assert best_of_n_kl_bound(4) == pytest.approx(math.log(4) - 0.75)
    with pytest.raises(ValueError, match="best of 0"):
        best_of_n_kl_bound(0)
