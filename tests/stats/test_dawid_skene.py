import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from boresight.stats.dawid_skene import dawid_skene


def _planted(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """2000 items, 3 classes, 5 raters: two good ones and three that lean to class 0; every fifth rating missing."""
    truth = random.choice(3, p=[0.2, 0.3, 0.5], size=2000)
    good = np.full((3, 3), 0.05) + 0.85 * np.eye(3)
    leaning = np.array([[0.9, 0.05, 0.05], [0.45, 0.5, 0.05], [0.45, 0.05, 0.5]])
    confusion = np.stack([good, good, leaning, leaning, leaning])
    chances = confusion[:, truth].cumsum(axis=2)  # (raters, items, classes)
    given = (random.random((5, 2000, 1)) > chances).sum(axis=2).T.astype(float)
    given[random.random(given.shape) < 0.2] = np.nan
    rated = ~np.isnan(given).all(axis=1)
    return truth[rated], confusion, given[rated]


def test_planted_annotators_are_recovered_and_beat_the_majority() -> None:
    truth, confusion, given = _planted(np.random.default_rng(8))
    fit = dawid_skene(given)
    assert np.abs(fit.confusion - confusion).max() < 0.08
    assert np.abs(fit.prevalence - [0.2, 0.3, 0.5]).max() < 0.03
    votes = np.stack([(given == value).sum(axis=1) for value in range(3)], axis=1)
    majority_right = np.mean(votes.argmax(axis=1) == truth)
    assert np.mean(fit.posterior.argmax(axis=1) == truth) > majority_right + 0.03


def test_unanimous_labels_stay_and_rows_are_probabilities() -> None:
    fit = dawid_skene([["a", "a", "a"]] * 6 + [["b", "b", "b"]] * 4 + [["b", "b", None]])
    assert fit.posterior.argmax(axis=1).tolist() == [0] * 6 + [1] * 5
    assert np.allclose(fit.posterior.sum(axis=1), 1)
    assert np.allclose(fit.confusion.sum(axis=2), 1)


def test_an_item_without_ratings_is_named() -> None:
    with pytest.raises(ValueError, match="item 1 has no rating"):
        dawid_skene([[1, 2], [None, None]])


def test_pandalm_posterior_follows_the_majority_of_three_good_annotators(shared_data: Path) -> None:
    rows = json.loads(gzip.decompress((shared_data / "pandalm" / "testset-v1.json.gz").read_bytes()))
    ratings = np.array([[row[f"annotator{i}"] for i in (1, 2, 3)] for row in rows], dtype=float)
    votes = np.stack([(ratings == value).sum(axis=1) for value in range(3)], axis=1)
    fit = dawid_skene(ratings)
    assert np.bincount(votes.argmax(axis=1)).tolist() == [105, 422, 472]  # the published majority labels
    assert np.mean(fit.posterior.argmax(axis=1) == votes.argmax(axis=1)) > 0.98
