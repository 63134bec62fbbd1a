from itertools import product

import numpy as np
import pytest

from boresight.stats.significance import holm, sign_flip_test


def test_sign_flip_by_enumerating_all_signs() -> None:
    values = [0.5, 0.25, -0.25, 0.5, 0.5]
    sums = [abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in product((1, -1), repeat=5)]
    expected = sum(total >= 1.5 for total in sums) / 32
    assert sign_flip_test(values, range(5), seed=0) == expected


def test_rows_of_a_cluster_change_sign_together() -> None:
    values = [0.5, 0.5, 0.5, 0.5, -0.5, -0.5]
    assert sign_flip_test(values, ["a", "a", "b", "b", "c", "c"], seed=0) == 1.0  # 1 of sums +-1 +-1 +-1: always as far
    assert sign_flip_test([0.5] * 6, range(6), seed=0) == 2 / 64


def test_many_clusters_are_sampled_near_the_normal_approximation() -> None:
    values = np.array([0.5] * 60 + [-0.5] * 40)
    assert sign_flip_test(values, range(100), seed=1) == pytest.approx(0.0569, abs=0.008)  # exact sign test: 0.05689
    assert sign_flip_test(np.zeros(30), range(30), seed=1) == 1.0


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06 (not below the one before), 0.06.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="expected equal"):
        sign_flip_test([1.0], [1, 2], seed=0)
