"""Agreement figures in all replicates of a bootstrap at once, from counts and how often each unit was drawn.

Every figure of `stats.agreement` is made of sums over items. A replicate draws units (tasks, whose items stay together)
with replacement; its sums are the sums of the units times how often each was drawn, so that all replicates are a few
products of matrices.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from boresight.stats.agreement import Table, commonest_fleiss, krippendorff_alpha, percent_agreement, shared_kappa
from boresight.stats.intervals import Interval

LARGEST_BLOCK = 4_000_000
"""Of (items, replicates) weights held at once: 32 MB."""


class Replicates(NamedTuple):
    """Each (replicates,), NaN where the figure is not defined in a replicate."""

    percent_agreement: Table
    cohen_kappa: Table  # the mean over couples of raters, weighted by the items that both rated
    fleiss_kappa: Table  # on the items of the commonest number of ratings
    krippendorff_alpha: Table


def agreement_figures(table: Table, unit: NDArray[np.intp], *, seed: int, replicates: int) -> dict[str, Interval]:
    """The figures of a table (items, raters), NaN for missing, by the names of `Replicates`, with 95 % percentile
    intervals of a bootstrap (Efron 1979) over units (items,).

    Items that fewer than two rated are left out, and so are replicates in which a figure is not defined; NaN stands for
    a figure that is not. `n` counts units.
    """
    twice = (~np.isnan(table)).sum(axis=1) >= 2
    if not twice.any():
        return dict.fromkeys(Replicates._fields, Interval(np.nan, np.nan, np.nan, 0))
    table, unit = table[twice], unit[twice]
    drawn = agreement_replicates(table, unit, seed=seed, replicates=replicates)
    slots = _slots(table)  # who gave a rating matters to Cohen's kappa alone
    values = (percent_agreement(slots), shared_kappa(table), commonest_fleiss(slots), krippendorff_alpha(slots))
    units = len(np.unique(unit))
    return {
        name: Interval(float(value), *_middle(found), units)
        for name, value, found in zip(Replicates._fields, values, drawn, strict=True)
    }


def _middle(drawn: Table) -> tuple[float, float]:
    defined = drawn[~np.isnan(drawn)]
    low, high = np.quantile(defined, [0.025, 0.975]) if len(defined) else (np.nan, np.nan)
    return float(low), float(high)


def _slots(table: Table) -> Table:
    """The ratings of each item moved to the left, whoever gave them: (items, most ratings of one item)."""
    missing = np.isnan(table)
    order = np.argsort(missing, axis=1, kind="stable")
    return np.take_along_axis(table, order, axis=1)[:, : int((~missing).sum(axis=1).max())]


def agreement_replicates(table: Table, unit: NDArray[np.intp], *, seed: int, replicates: int) -> Replicates:
    """The figures of `stats.agreement` in replicates of a bootstrap (Efron 1979) over units.

    `table` (items, raters): labels, NaN for missing, at least two ratings an item; `unit` (items,): what an item
    belongs to. The draws are those of `default_rng(seed).integers(units, size=units)`, one call a replicate.

    Raises ValueError for items with fewer than two ratings.
    """
    there = ~np.isnan(table)
    if not len(table) or there.sum(axis=1).min() < 2:
        raise ValueError("agreement_replicates: expected items that were each rated twice or more")
    values, given = np.unique(table[there], return_inverse=True)
    codes = np.full(table.shape, -1)
    codes[there] = given
    counts = np.stack([(codes == value).sum(axis=1) for value in range(len(values))], axis=1).astype(np.float64)
    _, place = np.unique(unit, return_inverse=True)
    couples = _couples(codes, len(values))
    blocks = []
    for weights in _weights(int(place.max()) + 1, seed, replicates, max(1, LARGEST_BLOCK // len(table))):
        drawn = weights[place]  # (items, block): how often each item is in each replicate
        blocks.append(
            Replicates(
                percent_agreement=_percent(counts, drawn),
                cohen_kappa=_cohen(couples, drawn),
                fleiss_kappa=_fleiss(counts, drawn),
                krippendorff_alpha=_alpha(counts, drawn),
            )
        )
    return Replicates(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


class _Couple(NamedTuple):
    """Two raters on what both rated: the items, whether they agree, and each one's labels, one-hot."""

    items: NDArray[np.intp]
    agree: Table  # (shared,)
    first: Table  # (shared, values)
    second: Table


def _couples(codes: NDArray[np.int_], values: int) -> list[_Couple]:
    there = (codes >= 0).astype(int)
    one_hot = np.eye(values)
    found = []
    for i, j in zip(*np.nonzero(np.triu(there.T @ there, k=1)), strict=True):
        items = np.nonzero(there[:, i] & there[:, j])[0]
        first, second = codes[items, i], codes[items, j]
        found.append(_Couple(items, (first == second).astype(np.float64), one_hot[first], one_hot[second]))
    return found


def _percent(counts: Table, drawn: Table) -> Table:
    raters = counts.sum(axis=1)
    equal = (counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))
    return np.asarray(equal @ drawn / drawn.sum(axis=0))


def _cohen(couples: list[_Couple], drawn: Table) -> Table:
    total = np.zeros(drawn.shape[1])
    weight = np.zeros(drawn.shape[1])
    for couple in couples:
        here = drawn[couple.items]  # (shared, replicates)
        n = here.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):  # nothing shared in a replicate: not defined there
            observed = couple.agree @ here / n
            expected = ((couple.first.T @ here / n) * (couple.second.T @ here / n)).sum(axis=0)
        kappa = _beyond_chance(observed, expected)
        defined = ~np.isnan(kappa)
        total[defined] += (kappa * n)[defined]
        weight[defined] += n[defined]
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)


def _fleiss(counts: Table, drawn: Table) -> Table:
    raters = counts.sum(axis=1)
    sizes = np.unique(raters)
    items = np.stack([drawn[raters == size].sum(axis=0) for size in sizes])  # (sizes, replicates)
    commonest = items.argmax(axis=0)
    kappa = np.full(drawn.shape[1], np.nan)
    for number in np.unique(commonest):
        size, chosen = sizes[number], commonest == number
        rows, here = counts[raters == size], drawn[raters == size][:, chosen]
        equal = (rows * (rows - 1)).sum(axis=1) / (size * (size - 1))
        share = rows.T @ here / (size * here.sum(axis=0))  # (values, chosen)
        kappa[chosen] = _beyond_chance(equal @ here / here.sum(axis=0), (share * share).sum(axis=0))
    return kappa


def _alpha(counts: Table, drawn: Table) -> Table:
    """Nominal: two values are the same or not."""
    raters = counts.sum(axis=1)
    unequal = (raters**2 - (counts**2).sum(axis=1)) / (raters - 1)  # (items,): coincidences off the diagonal
    totals = counts.T @ drawn  # (values, replicates)
    ratings = totals.sum(axis=0)
    expected = (ratings * ratings - (totals * totals).sum(axis=0)) / (ratings - 1)
    observed: Table = unequal @ drawn
    ratio = np.full_like(observed, np.nan)
    np.divide(observed, expected, out=ratio, where=expected > 0)
    return 1 - ratio


def _beyond_chance(observed: Table, expected: Table) -> Table:
    found = np.full_like(observed, np.nan)
    np.divide(observed - expected, 1 - expected, out=found, where=expected < 1)
    return found


def _weights(units: int, seed: int, replicates: int, block: int) -> Iterator[Table]:
    """How often each unit is drawn, (units, block) at a time."""
    random = np.random.default_rng(seed)
    for start in range(0, replicates, block):
        count = min(block, replicates - start)
        drawn = [np.bincount(random.integers(units, size=units), minlength=units) for _ in range(count)]
        yield np.array(drawn, dtype=np.float64).T
