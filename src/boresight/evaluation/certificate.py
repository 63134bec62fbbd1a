"""A reward model's certificate on held-out pairs: how often it is right, how sure it may be, what it looks at."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from boresight.errors import DataError
from boresight.evaluation.baselines import (
    Baselines,
    LengthRule,
    bag_of_words_margins,
    length_differences,
    length_margins,
)
from boresight.records import PreferencePair
from boresight.stats.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    preference_reliability,
)
from boresight.stats.intervals import wilson_clustered

Array = NDArray[np.float64]


def certify(
    pairs: Sequence[PreferencePair],
    chosen_scores: ArrayLike,
    rejected_scores: ArrayLike,
    baselines: Baselines | None,
) -> dict[str, Any]:
    """The certificate block of one held-out set; scores are raw rewards (pairs,), baselines come from training pairs.

    Without baselines the length rule prefers the longer response, and there is no bag of words.

    accuracy: share of the n pairs with a preference whose preferred response scores higher, equal scores as halves;
    ci95 treats the pairs of one prompt as a cluster. ties: pairs without a preference (`p_chosen` 0.5), which have no
    right order. ece, brier, nll (nats), temperature and reliability are of all pairs: they read sigmoid(margin) as the
    probability that the chosen response is preferred and hold it against `p_chosen`; ece and reliability use 10 bins of
    equal width over 0.5..1 of the confidence in the likelier response. score_length_correlation: of score and
    characters within pairs; null where nothing varies. Raises DataError for no pairs or none with a preference, for
    scores that do not match them, or that are not finite.
    """
    chosen, rejected = _checked(pairs, chosen_scores), _checked(pairs, rejected_scores)
    require_preferences(pairs, "certificate")
    margin, outcome = chosen - rejected, np.array([pair.p_chosen for pair in pairs])
    table = preference_reliability(margin, outcome)
    length_rule = baselines.length if baselines else LengthRule(longer_wins=True)
    words = {"bag_of_words": accuracy(bag_of_words_margins(baselines.words, pairs), pairs)} if baselines else {}
    ordered = accuracy(margin, pairs)
    return {
        **ordered,
        "ties": len(pairs) - ordered["n"],
        "ece": expected_calibration_error(table),
        "brier": brier_score(margin, outcome),
        "nll": negative_log_likelihood(margin, outcome),
        "temperature": fit_temperature(margin, outcome),
        "by_kind": accuracy_by(lambda pair: pair.kind, margin, pairs),
        "length_only": accuracy(length_margins(length_rule, pairs), pairs),
        **words,
        "reliability": [row._asdict() for row in table],
        "score_length_correlation": within_pair_correlation(margin, length_differences(pairs)),
    }


def within_pair_correlation(score_difference: Array, length_difference: Array) -> float | None:
    """Correlation of score and length over all responses, each taken as its distance from its pair's mean.

        sum_i ds_i dl_i / sqrt(sum_i ds_i^2  sum_i dl_i^2)

    What prompts have in common drops out, and exchanging chosen and rejected changes nothing.
    """
    scale = float(np.sqrt((score_difference @ score_difference) * (length_difference @ length_difference)))
    return float(score_difference @ length_difference) / scale if scale > 0 else None


def require_preferences(pairs: Sequence[PreferencePair], where: str) -> None:
    """DataError where no pair says which response is preferred: there is no accuracy of nothing, or on ties alone."""
    if all(pair.p_chosen == 0.5 for pair in pairs):
        found = f"all {len(pairs)} held-out pairs are ties (p_chosen 0.5)" if pairs else "no held-out pair is left"
        raise DataError(
            f"{where}: {found}; expected some of which one response is preferred. Hold out more pairs, or give others."
        )


def accuracy(margin: Array, pairs: Sequence[PreferencePair]) -> dict[str, Any]:
    """Share of the pairs whose preferred response has the higher score, by margins (pairs,), zero as a half, with
    Wilson's interval over prompts and n, the pairs that it is of.

    A tie (`p_chosen` 0.5) has no right order and is not among them, since which of its responses is called chosen says
    nothing; below 0.5 the rejected one is preferred. Null on ties alone.
    """
    preferred = np.sign(np.array([pair.p_chosen for pair in pairs]) - 0.5)
    rows = np.flatnonzero(preferred).tolist()
    if not rows:
        return {"n": 0, "accuracy": None, "ci95": None}
    right = (np.sign(margin[rows] * preferred[rows]) + 1) / 2
    interval = wilson_clustered(right, [pairs[row].prompt for row in rows])
    return {"n": len(rows), "accuracy": interval.value, "ci95": [interval.low, interval.high]}


def accuracy_by(
    group_of: Callable[[PreferencePair], str], margin: Array, pairs: Sequence[PreferencePair]
) -> dict[str, dict[str, Any]]:
    """Accuracy of margins (pairs,) in each group, by name; pairs whose group is "" are in none, nor are ties."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, pair in enumerate(pairs):
        if pair.p_chosen != 0.5 and (group := group_of(pair)):
            rows_of[group].append(row)
    return {group: accuracy(margin[rows], [pairs[i] for i in rows]) for group, rows in sorted(rows_of.items())}


def _checked(pairs: Sequence[PreferencePair], scores: ArrayLike) -> Array:
    values = np.asarray(scores, dtype=np.float64)
    if len(pairs) == 0 or values.shape != (len(pairs),):
        raise DataError(
            f"certificate: {len(pairs)} pairs with scores of shape {values.shape}; expected one score for each pair "
            "and at least one pair. Give the held-out set pairs, or score it again."
        )
    bad = np.nonzero(~np.isfinite(values))[0]
    if len(bad):
        raise DataError(
            f"certificate: pair {pairs[bad[0]].id!r}: score {values[bad[0]]} is not finite ({len(bad)} such scores); "
            "the reward model is broken: see its metrics for the step where the loss went wrong."
        )
    return values
