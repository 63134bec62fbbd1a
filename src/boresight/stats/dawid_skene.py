"""True labels and annotator reliability from overlapping labels without an answer key: Dawid & Skene 1979.

Each annotator has a confusion matrix, each item one unknown label; expectation-maximisation finds both. It beats the
majority vote where annotators differ in skill or share a bias towards one label.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from boresight.stats.agreement import Ratings, rating_table

Array = NDArray[np.float64]


class DawidSkene(NamedTuple):
    """Estimates over C label values in ascending order (text labels in sorted order).

    posterior (items, C); prevalence (C,); confusion (raters, C true, C given), rows summing to 1.
    """

    posterior: Array
    prevalence: Array
    confusion: Array
    iterations: int


def dawid_skene(
    ratings: Ratings, *, smoothing: float = 0.1, tolerance: float = 1e-6, max_iterations: int = 1000
) -> DawidSkene:
    """Fit by EM from the majority vote; stops when no posterior moves by more than `tolerance`.

    `smoothing` is added to each count of a confusion matrix (a flat Dirichlet prior), so that an annotator with few
    labels is not taken for infallible. Raises ValueError where an item has no rating at all or EM does not settle.
    """
    table = rating_table(ratings)
    item, rater = np.nonzero(~np.isnan(table))  # of each rating there is, by item
    values, given = np.unique(table[item, rater], return_inverse=True)
    items, raters, classes = len(table), table.shape[1], len(values)
    votes = _sums(item * classes + given, np.ones(len(item)), items * classes).reshape(items, classes)
    if not votes.sum(axis=1).all():
        raise ValueError(f"dawid_skene: item {int(np.argmin(votes.sum(axis=1)))} has no rating; leave such items out")
    posterior = votes / votes.sum(axis=1, keepdims=True)
    cell = rater * classes + given
    for iteration in range(1, max_iterations + 1):
        prevalence = posterior.mean(axis=0)
        shares = [_sums(cell, posterior[item, true], raters * classes) for true in range(classes)]
        counts = np.stack(shares, axis=1).reshape(raters, classes, classes).swapaxes(1, 2) + smoothing
        confusion = counts / counts.sum(axis=2, keepdims=True)
        likelihood = np.log(confusion)[rater, :, given]  # (ratings, C)
        log_joint = np.log(np.maximum(prevalence, 1e-300)) + np.stack(
            [_sums(item, likelihood[:, true], items) for true in range(classes)], axis=1
        )
        updated = np.exp(log_joint - np.logaddexp.reduce(log_joint, axis=1, keepdims=True))
        moved, posterior = np.abs(updated - posterior).max(), updated
        if moved < tolerance:
            return DawidSkene(posterior, prevalence, confusion, iteration)
    raise ValueError(
        f"dawid_skene: posteriors still move by {moved:.2g} after {max_iterations} iterations; raise the limit"
    )


def _sums(place: NDArray[np.intp], weights: Array, places: int) -> Array:
    """The sum of the weights on each place. Work grows with the ratings there are, not with people x items."""
    return np.bincount(place, weights=weights, minlength=places).astype(np.float64, copy=False)
