"""How far annotators agree, how reliable each of them is, and how strong the models are: live, on the votes so far.

What is rated is a pair of responses: a ranking of K counts as all its pairs. Intervals are bootstrapped over tasks, so
that the pairs of one ranking stay together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boresight.errors import DataError
from boresight.feedback.human_labels import TIE, preference_label
from boresight.stats.agreement import Table, pair_kappa, shared_ratings
from boresight.stats.agreement_bootstrap import agreement_figures as coefficients
from boresight.stats.dawid_skene import dawid_skene
from boresight.stats.intervals import Interval
from boresight.stats.ratings import fit_ratings
from boresight.web.annotation.store import Store
from boresight.web.annotation.votes import VotedTask, voted_tasks

LABELS = ("1", "2", TIE)
FEWEST_SHARED = 10
"""Items that two people must both have rated for their kappa to be told: below, it says next to nothing."""
REPLICATES = 300


@dataclass(frozen=True, slots=True)
class PairRatings:
    """`labels` (pairs, people): places in LABELS, NaN where somebody did not judge; `task` (pairs,): its owner."""

    annotators: tuple[str, ...]
    labels: Table
    task: NDArray[np.intp]


def quality(store: Store, project_id: int, *, names: bool = False, seed: int = 0) -> dict[str, Any]:
    """Figures of the project's votes; each is None while there are too few to tell."""
    voted = voted_tasks(store, project_id, names=names)
    rated = pair_ratings(voted)
    return {
        "agreement": agreement_figures(rated, seed=seed),
        "kappas": pair_kappas(rated),
        "reliability": reliability(rated),
        "strengths": strengths(voted),
    }


def pair_ratings(voted: Sequence[VotedTask]) -> PairRatings:
    """The votes on pairs as ratings, by item and rater."""
    annotators = tuple(dict.fromkeys(vote.annotator for task in voted for vote in task.labelled.votes))
    place = {name: number for number, name in enumerate(annotators)}
    rows, owners = [], []
    for number, task in enumerate(voted):
        for i, j in combinations(range(len(task.labelled.responses)), 2):
            row = np.full(len(annotators), np.nan)
            for vote in task.labelled.votes:
                label = preference_label(vote, i, j)
                row[place[vote.annotator]] = np.nan if label is None else LABELS.index(label)
            if not np.isnan(row).all():
                rows.append(row)
                owners.append(number)
    return PairRatings(annotators, np.array(rows).reshape(len(rows), len(annotators)), np.array(owners, dtype=np.intp))


def agreement_figures(rated: PairRatings, *, seed: int) -> dict[str, Any]:
    """Percent agreement, Cohen's kappa (the mean over pairs of people, weighted by what they share), Fleiss' kappa and
    Krippendorff's alpha over pairs of responses, each {value, low, high}."""
    figures = coefficients(rated.labels, rated.task, seed=seed, replicates=REPLICATES)
    twice = (~np.isnan(rated.labels)).sum(axis=1) >= 2
    return {
        "pairs": len(rated.labels),
        "pairs_rated_twice": int(twice.sum()),
        **{name: _with_interval(one) for name, one in figures.items()},
    }


def pair_kappas(rated: PairRatings) -> list[dict[str, Any]]:
    """Cohen's kappa of every two people who share enough."""
    found = []
    for (i, j), both in shared_ratings(rated.labels).items():
        if len(both) >= FEWEST_SHARED:
            pair = [rated.annotators[i], rated.annotators[j]]
            found.append({"annotators": pair, "kappa": _told(pair_kappa(both)), "n": len(both)})
    return found


def reliability(rated: PairRatings) -> dict[str, dict[str, float]] | None:
    """Of each person the share of answers that Dawid and Skene's model expects to be right, and how many there are.

    None where nobody shares an item with anybody, or the model does not settle: nothing can be told then."""
    if not ((~np.isnan(rated.labels)).sum(axis=1) >= 2).any():
        return None
    try:
        fitted = dawid_skene(rated.labels)
    except ValueError:
        return None
    right = np.einsum("t,rtt->r", fitted.prevalence, fitted.confusion)
    counts = (~np.isnan(rated.labels)).sum(axis=0)
    return {
        name: {"accuracy": float(right[number]), "n": int(counts[number])}
        for number, name in enumerate(rated.annotators)
    }


def strengths(voted: Sequence[VotedTask]) -> dict[str, Any]:
    """Bradley-Terry-Davidson strengths of the models, in nats, from the votes that decide; `reason` where there are
    none."""
    comparisons = []
    for task in voted:
        one = task.labelled
        for i, j in combinations(range(len(one.responses)), 2):
            if one.models[i] and one.models[j] and one.models[i] != one.models[j]:
                labels = [preference_label(vote, i, j) for vote in one.deciding]
                comparisons += [(one.models[i], one.models[j], _verdict(label)) for label in labels if label]
    if not comparisons:
        return {"models": [], "reason": "no two responses of different models were compared yet"}
    try:
        fitted = fit_ratings(comparisons)
    except DataError as error:
        return {"models": [], "reason": str(error)}
    rows = zip(fitted.names, fitted.strength, fitted.standard_error, strict=True)
    models = [{"model": name, "strength": value, "standard_error": error} for name, value, error in rows]
    return {"models": models, "tie_parameter": fitted.tie_parameter, "comparisons": fitted.comparisons}


def _verdict(label: str) -> float:
    return {"1": 1.0, "2": 0.0, TIE: 0.5}[label]


def _with_interval(one: Interval) -> dict[str, float | None] | None:
    """A figure with its interval; None where it is not defined."""
    if math.isnan(one.value):
        return None
    return {"value": one.value, "low": _told(one.low), "high": _told(one.high)}


def _told(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
