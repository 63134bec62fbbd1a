"""Which map from a judge's probability to people's holds on couples that it was not fitted to.

Couples are parted into folds by prompt, each fold is predicted by maps fitted to the others, and the map with the least
log loss there is taken and fitted to all. Whatever is reported of it is out of fold.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from boresight.errors import DataError
from boresight.feedback.calibration_maps import CalibrationMap, fit_map
from boresight.stats.calibration import (
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    preference_reliability,
)

Array = NDArray[np.float64]
MAPS = ("platt", "platt_length", "isotonic")
"""The simplest first: of two that are as good it is taken."""
FOLDS = 5
FEWEST = 20
"""Couples below which five folds say nothing."""


class Sample(NamedTuple):
    """Couples that a judge and people labelled, all (n,): the judge's probability that `a` is better, people's, the
    characters of `a` less those of `b`, and the prompt."""

    p: Array
    people: Array
    length: Array
    prompts: Sequence[str]

    def rows(self, keep: NDArray[np.bool_]) -> "Sample":
        """Those where `keep` (n,) is True."""
        prompts = [prompt for prompt, kept in zip(self.prompts, keep, strict=True) if kept]
        return Sample(self.p[keep], self.people[keep], self.length[keep], prompts)


class CrossFit(NamedTuple):
    """The chosen map, fitted to all, and by name what each map predicts for couples it was not fitted to (n,)."""

    chosen: CalibrationMap
    out_of_fold: dict[str, Array]

    @property
    def predicted(self) -> Array:
        return self.out_of_fold[self.chosen.name]


def cross_fit(sample: Sample, *, seed: int = 0, maps: Sequence[str] = MAPS) -> CrossFit:
    """Raises DataError for fewer couples than FEWEST, or where one prompt holds them all."""
    folds = fold_of(sample.prompts, seed)
    if len(sample.p) < FEWEST or len(np.unique(folds)) < 2:
        raise DataError(
            f"calibration: {len(sample.p)} couples of {len(set(sample.prompts))} prompts that judge and people "
            f"labelled; expected at least {FEWEST}, of several prompts. Have people label more of them."
        )
    predicted = {name: _out_of_fold(sample, folds, name) for name in maps}
    losses = {name: calibration_figures(p, sample)["nll"] for name, p in predicted.items()}
    best = min(maps, key=lambda name: (round(losses[name], 6), maps.index(name)))
    return CrossFit(fit_map(best, sample.p, sample.length, sample.people), predicted)


def fold_of(prompts: Sequence[str], seed: int) -> NDArray[np.intp]:
    """A fold for each couple, drawn by a hash of its prompt, so that all couples of a prompt are held out together."""
    drawn = [hashlib.sha256(f"{seed}/{prompt}".encode()).digest() for prompt in prompts]
    return np.array([int.from_bytes(digest[:4], "big") % FOLDS for digest in drawn], dtype=np.intp)


def calibration_figures(p: Array, sample: Sample) -> dict[str, Any]:
    """nll in nats, brier, ece (10 bins of the confidence in the likelier response) of probabilities `p` (n,) against
    people."""
    margin = _margin(p)
    return {
        "nll": negative_log_likelihood(margin, sample.people),
        "brier": brier_score(margin, sample.people),
        "ece": expected_calibration_error(preference_reliability(margin, sample.people)),
    }


def reliability(p: Array, sample: Sample) -> list[dict[str, float]]:
    """Rows {confidence, people, n}: how sure probabilities `p` (n,) are of the likelier response, and what people say
    of it."""
    table = preference_reliability(_margin(p), sample.people)
    return [{"confidence": row.confidence, "people": row.accuracy, "n": row.n} for row in table]


def _margin(p: Array) -> Array:
    held = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(held / (1 - held))


def _out_of_fold(sample: Sample, folds: NDArray[np.intp], name: str) -> Array:
    predicted = np.zeros(len(sample.p))
    for fold in np.unique(folds):
        own = folds == fold
        rest = sample.rows(~own)
        fitted = fit_map(name, rest.p, rest.length, rest.people)
        predicted[own] = fitted.apply(sample.p[own], sample.length[own])
    return predicted
