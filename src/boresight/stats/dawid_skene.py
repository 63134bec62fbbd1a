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
    values = np.unique(table[~np.isnan(table)])
    given = (table[:, :, None] == values).astype(np.float64)  # (items, raters, C), all zero where missing
    votes = given.sum(axis=1)  # (items, C)
    if not votes.sum(axis=1).all():
        raise ValueError(f"dawid_skene: item {int(np.argmin(votes.sum(axis=1)))} has no rating; leave such items out")
    posterior = votes / votes.sum(axis=1, keepdims=True)
    for iteration in range(1, max_iterations + 1):
        prevalence = posterior.mean(axis=0)
        counts = np.einsum("it,irg->rtg", posterior, given) + smoothing
        confusion = counts / counts.sum(axis=2, keepdims=True)
        log_joint = np.log(np.maximum(prevalence, 1e-300)) + np.einsum("irg,rtg->it", given, np.log(confusion))
        updated = np.exp(log_joint - np.logaddexp.reduce(log_joint, axis=1, keepdims=True))
        moved, posterior = np.abs(updated - posterior).max(), updated
        if moved < tolerance:
            return DawidSkene(posterior, prevalence, confusion, iteration)
    raise ValueError(
        f"dawid_skene: posteriors still move by {moved:.2g} after {max_iterations} iterations; raise the limit"
    )
