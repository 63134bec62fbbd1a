"""All replicates at once, against each statistic on each resampled table."""

import math

import numpy as np
import pytest

from boresight.stats import agreement_bootstrap
from boresight.stats.agreement import fleiss_kappa, krippendorff_alpha, pair_kappa, percent_agreement
from boresight.stats.agreement_bootstrap import agreement_figures, agreement_replicates

REPLICATES = 40


def sparse_table(seed: int, items: int = 90, raters: int = 5) -> np.ndarray:
    random = np.random.default_rng(seed)
    truth = random.integers(3, size=(items, 1))
    table = np.where(random.random((items, raters)) < 0.7, truth, random.integers(3, size=(items, raters))).astype(
        float
    )
    for row in table:
        row[random.permutation(raters)[: random.integers(0, raters - 1)]] = np.nan
    return table


def mean_kappa(table: np.ndarray) -> float:
    total = weight = 0.0
    for i in range(table.shape[1]):
        for j in range(i):
            both = table[~np.isnan(table[:, [i, j]]).any(axis=1)][:, [i, j]]
            kappa = pair_kappa(both) if len(both) else math.nan
            if not math.isnan(kappa):
                total, weight = total + kappa * len(both), weight + len(both)
    return total / weight if weight else math.nan


def commonest_fleiss(table: np.ndarray) -> float:
    given = (~np.isnan(table)).sum(axis=1)
    size = np.bincount(given).argmax()
    rows = table[given == size]
    return fleiss_kappa(rows[~np.isnan(rows)].reshape(len(rows), size))


@pytest.mark.parametrize("block", [4_000_000, 1_000])
@pytest.mark.parametrize("seed", [0, 1])
def test_replicates_are_the_statistics_of_the_resampled_tables(
    seed: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement_bootstrap, "LARGEST_BLOCK", block)
    table = sparse_table(seed)
    unit = np.random.default_rng(seed).integers(40, size=len(table))
    found = agreement_replicates(table, unit, seed=seed, replicates=REPLICATES)
    random = np.random.default_rng(seed)
    units = [np.nonzero(unit == one)[0] for one in np.unique(unit)]
    for number in range(REPLICATES):
        chosen = random.integers(len(units), size=len(units))
        drawn = table[np.concatenate([units[one] for one in chosen])]
        right = percent_agreement(drawn), mean_kappa(drawn), commonest_fleiss(drawn), krippendorff_alpha(drawn)
        np.testing.assert_allclose([figure[number] for figure in found], right, rtol=1e-10)


def test_where_all_agree_on_one_label_chance_has_no_room() -> None:
    found = agreement_replicates(np.ones((6, 2)), np.arange(6), seed=0, replicates=5)
    assert found.percent_agreement.tolist() == [1.0] * 5
    assert all(np.isnan(figure).all() for figure in found[1:])


def test_items_rated_once_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        agreement_replicates(np.array([[1.0, np.nan]]), np.zeros(1, dtype=int), seed=0, replicates=5)


def test_interval_of_kappa_covers_the_value_and_narrows_with_items() -> None:
    random = np.random.default_rng(1)

    def table(items: int) -> np.ndarray:
        truth = random.integers(0, 2, size=(items, 1))
        return np.where(random.random((items, 2)) < 0.9, truth, 1 - truth).astype(float)

    # Two raters right with 0.9 on balanced labels agree in 0.82 of items: kappa 0.64.
    small, large = (
        agreement_figures(table(n), np.arange(n), seed=2, replicates=300)["cohen_kappa"] for n in (100, 2500)
    )
    assert large.low < 0.64 < large.high
    assert large.n == 2500
    assert (small.high - small.low) / (large.high - large.low) == pytest.approx(5, rel=0.3)


def test_raters_that_share_no_item_take_nothing_from_the_kappa_of_those_that_do() -> None:
    nan = math.nan
    table = np.array([[0, 0, nan], [1, 1, nan], [0, 1, nan], [1, 1, nan], [nan, 0, 0], [nan, 1, 0], [nan, nan, 1]])
    found = agreement_figures(table, np.arange(7), seed=0, replicates=20)
    # First and second: 3 of 4 agree, by chance (2 * 1 + 2 * 3) / 16 = 1/2, kappa 1/2; second and third: half, by chance
    # half, kappa 0. Weighted by the 4 and 2 items shared: 1/3.
    assert found["cohen_kappa"].value == pytest.approx(1 / 3)
    assert found["percent_agreement"].value == pytest.approx(4 / 6) and found["percent_agreement"].n == 6
