"""How far annotators or judges agree beyond chance: percent, Cohen's and Fleiss' kappa, Krippendorff's alpha.

Ratings are a table: one row an item, one column a rater, a label (text or number) or None for a missing rating. Every
statistic is NaN where it is not defined (all ratings in one category leave no room for chance).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Label = str | int | float | bool
Table = NDArray[np.float64]
Ratings = Sequence[Sequence[Label | None]] | Table


class OrderAgreement(NamedTuple):
    """A judge that saw every pair in both orders, against the right answers; shares of all items."""

    accuracy_given_order: float
    accuracy_swapped: float
    correct_in_both: float
    correct_by_vote: float
    same_verdict_in_both: float
    first_position_rate: float
    unparsable: float
    n: int


def rating_table(ratings: Ratings) -> Table:
    """Ratings as float64 (items, raters) with NaN for missing; text labels become their place in sorted order.

    Raises ValueError for rows of unequal length and for labels that mix text and numbers.
    """
    if isinstance(ratings, np.ndarray):
        return ratings
    rows = [list(row) for row in ratings]
    raters = len(rows[0]) if rows else 0
    if not rows or raters == 0 or any(len(row) != raters for row in rows):
        raise ValueError(
            "ratings: expected one row an item, with the same number of raters in each and None for missing"
        )
    present = [value for row in rows for value in row if value is not None]
    texts = {value for value in present if isinstance(value, str)}
    if texts and any(not isinstance(value, str) for value in present):
        raise ValueError("ratings: labels mix text and numbers; expected one or the other")
    place = {text: i for i, text in enumerate(sorted(texts))}
    numbers = [[np.nan if v is None else place[v] if isinstance(v, str) else float(v) for v in row] for row in rows]
    return np.array(numbers, dtype=np.float64)


def percent_agreement(ratings: Ratings) -> float:
    """Share of equal labels among the pairs of ratings of an item, averaged over items with at least two ratings: the
    observed agreement of Fleiss 1971, items of any number of ratings weighing alike."""
    counts, _ = _value_counts(ratings)
    raters = counts.sum(axis=1)  # (items,)
    rated = raters >= 2
    if not rated.any():
        return float("nan")
    equal = (counts * (counts - 1)).sum(axis=1)[rated] / (raters * (raters - 1))[rated]
    return float(equal.mean())


def cohen_kappa(first: Sequence[Label], second: Sequence[Label]) -> float:
    """Cohen's kappa of two raters (Cohen 1960): (observed - expected) / (1 - expected), by each one's own shares.

    Raises ValueError for unequal lengths or missing ratings (Krippendorff's alpha takes those).
    """
    if len(first) != len(second):
        raise ValueError(f"cohen_kappa: {len(first)} and {len(second)} ratings; expected one of each for every item")
    table = rating_table(list(zip(first, second, strict=True)))
    return _cohen(table)


def fleiss_kappa(ratings: Ratings) -> float:
    """Fleiss' kappa (Fleiss 1971): chance agreement from the pooled shares of the categories.

    Raises ValueError where items have unequal numbers of ratings (Krippendorff's alpha takes those) or fewer than two.
    """
    counts, _ = _value_counts(ratings)  # (items, values)
    raters = counts.sum(axis=1)
    if raters.min() != raters.max() or raters[0] < 2:
        raise ValueError(
            f"fleiss_kappa: items have {raters.min():g} to {raters.max():g} ratings; expected one number for all, "
            "at least 2. Use krippendorff_alpha where ratings are missing."
        )
    n = raters[0]
    observed = ((counts * counts).sum(axis=1) - n) / (n * (n - 1))
    share = counts.sum(axis=0) / counts.sum()
    return _beyond_chance(float(observed.mean()), float(share @ share))


def krippendorff_alpha(ratings: Ratings, level: Literal["nominal", "ordinal", "interval"] = "nominal") -> float:
    """Krippendorff's alpha = 1 - observed / expected disagreement (Krippendorff 2011, "Computing alpha-reliability").

    Any number of raters, missing ratings allowed; items with one rating say nothing and are left out. Works on counts
    of values, so its cost is items x values. `level` is how far apart two values are: nominal 0 or 1, interval the
    squared difference, ordinal by the ranks between them. Raises ValueError for ordinal or interval on text labels.
    """
    if level != "nominal" and _has_text(ratings):
        raise ValueError(
            f"krippendorff_alpha: level {level!r} on text labels; give the labels as numbers in their order"
        )
    counts, values = _value_counts(ratings)
    counts = counts[counts.sum(axis=1) >= 2]
    if len(counts) == 0:
        return float("nan")
    weighted = counts / (counts.sum(axis=1, keepdims=True) - 1)
    coincidence = weighted.T @ counts - np.diag(weighted.sum(axis=0))  # (values, values)
    totals = coincidence.sum(axis=0)
    distance = _squared_distance(values, totals, level)
    expected = float(totals @ distance @ totals) / (totals.sum() - 1)
    return 1 - float((coincidence * distance).sum()) / expected if expected > 0 else float("nan")


def pair_kappa(table: Table) -> float:
    """Cohen's kappa (Cohen 1960) of a table (items, 2); ValueError for any other shape."""
    if table.ndim != 2 or table.shape[1] != 2:
        raise ValueError(f"pair_kappa: table of shape {table.shape}; expected (items, 2)")
    return _cohen(table)


def shared_ratings(table: Table) -> dict[tuple[int, int], Table]:
    """The ratings (shared items, 2) of every two raters on what both rated, if anything."""
    there = ~np.isnan(table)
    shared = {}
    for i, j in zip(*np.nonzero(np.triu(there.T.astype(int) @ there.astype(int), k=1)), strict=True):
        shared[int(i), int(j)] = table[there[:, i] & there[:, j]][:, [i, j]]
    return shared


def shared_kappa(table: Table) -> float:
    """Cohen's kappa (Cohen 1960) of every two raters on what both rated, weighted by how much that is; raters that
    share nothing take no part."""
    total = weight = 0.0
    for both in shared_ratings(table).values():
        kappa = pair_kappa(both)
        if not np.isnan(kappa):
            total, weight = total + kappa * len(both), weight + len(both)
    return total / weight if weight else float("nan")


def commonest_fleiss(table: Table) -> float:
    """Fleiss' kappa (Fleiss 1971), which lets the raters differ from item to item but not their number: on the items
    that have the commonest number of ratings, two or more."""
    given = (~np.isnan(table)).sum(axis=1)
    sizes, counts = np.unique(given[given >= 2], return_counts=True)
    if len(sizes) == 0:
        return float("nan")
    size = sizes[np.argmax(counts)]
    rows = table[given == size]
    return fleiss_kappa(rows[~np.isnan(rows)].reshape(len(rows), size))


def order_agreement(right: Sequence[int], given: Sequence[int | None], swapped: Sequence[int | None]) -> OrderAgreement:
    """What a judge's verdicts in both orders say about it.

    All three are (items,) and name response 1 or 2 as listed, also in the swapped pass, where 2 was shown first; 0 is a
    tie, and None a verdict that could not be read: neither is right, and two of them are the same verdict.
    `correct_by_vote`: more of the two verdicts are right than wrong (Tan et al. 2024, arXiv:2410.12784, section 4).
    `first_position_rate` is the share for the response shown first among verdicts for one of them, `unparsable` the
    share of all verdicts that could not be read.
    """
    n = len(right)
    if n == 0 or not n == len(given) == len(swapped):
        raise ValueError(
            f"order_agreement: {n} labels, {len(given)} and {len(swapped)} verdicts; expected equal, not 0"
        )
    rows = list(zip(right, given, swapped, strict=True))
    decided = [v for v in given if v] + [3 - v for v in swapped if v]  # 1: shown first
    unreadable = sum(v is None for v in (*given, *swapped))
    return OrderAgreement(
        accuracy_given_order=sum(label == one for label, one, _ in rows) / n,
        accuracy_swapped=sum(label == two for label, _, two in rows) / n,
        correct_in_both=sum(label == one == two for label, one, two in rows) / n,
        correct_by_vote=sum(_vote(label, one) + _vote(label, two) > 0 for label, one, two in rows) / n,
        same_verdict_in_both=sum(one == two for _, one, two in rows) / n,
        first_position_rate=decided.count(1) / len(decided) if decided else float("nan"),
        unparsable=unreadable / (2 * n),
        n=n,
    )


def _vote(right: int, verdict: int | None) -> int:
    """1 for a right verdict, -1 for a wrong one, 0 for a tie or what could not be read."""
    return 0 if not verdict else 1 if verdict == right else -1


def _cohen(table: Table) -> float:
    if np.isnan(table).any():
        raise ValueError("cohen_kappa: ratings are missing; use krippendorff_alpha, which takes them")
    values, codes = np.unique(table, return_inverse=True)
    codes = codes.reshape(table.shape)
    shares = [np.bincount(codes[:, rater], minlength=len(values)) / len(table) for rater in (0, 1)]
    return _beyond_chance(float(np.mean(codes[:, 0] == codes[:, 1])), float(shares[0] @ shares[1]))


def _beyond_chance(observed: float, expected: float) -> float:
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def _has_text(ratings: Ratings) -> bool:
    return not isinstance(ratings, np.ndarray) and any(isinstance(value, str) for row in ratings for value in row)


def _value_counts(ratings: Ratings) -> tuple[Table, Table]:
    """How often each item got each value (items, values), and the values in ascending order."""
    table = rating_table(ratings)
    rows, _ = present = np.nonzero(~np.isnan(table))
    values, codes = np.unique(table[present], return_inverse=True)
    flat = np.bincount(rows * len(values) + codes, minlength=len(table) * len(values))
    return flat.reshape(len(table), len(values)).astype(np.float64), values


def _squared_distance(values: Table, totals: Table, level: str) -> Table:
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    # Ordinal: values stand as far apart as there are ratings between them, each end counting half (mid-ranks).
    position = values if level == "interval" else np.cumsum(totals) - totals / 2
    return (position[:, None] - position[None, :]) ** 2
