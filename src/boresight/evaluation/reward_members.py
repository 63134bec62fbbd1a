"""Several reward models on the same pairs: an ensemble of them, and one before and after it was trained on.

Scores of different models have no common scale, so each member's are brought to mean 0 and deviation 1 over all
responses before they are put together.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from boresight.evaluation.certificate import accuracy
from boresight.records import PreferencePair
from boresight.stats.intervals import mcnemar

Array = NDArray[np.float64]
Result = dict[str, Any]


class Scores(NamedTuple):
    """Raw rewards of both sides, (pairs,) each."""

    chosen: Array
    rejected: Array

    @classmethod
    def of(cls, chosen: ArrayLike, rejected: ArrayLike) -> "Scores":
        """As float64."""
        return cls(np.asarray(chosen, dtype=np.float64), np.asarray(rejected, dtype=np.float64))

    @property
    def margin(self) -> Array:
        return self.chosen - self.rejected

    @property
    def all(self) -> Array:
        return np.concatenate([self.chosen, self.rejected])


def ensemble(pairs: Sequence[PreferencePair], members: Mapping[str, Scores]) -> Result:
    """{members, mean, lowest, agreement, mean_correlation} of at least two members.

    mean: of the members' standardised scores; lowest: of each response the lowest of them, which a policy cannot raise
    by pleasing one member alone (Coste et al. 2023, arXiv:2310.02743, section 3). agreement: pairs on which all members
    prefer the same response, with their accuracy, and the others. mean_correlation: of margins, over pairs of members.
    """
    scaled = [_standardised(scores) for scores in members.values()]
    together = {
        "mean": Scores(*(np.mean([getattr(s, side) for s in scaled], axis=0) for side in ("chosen", "rejected"))),
        "lowest": Scores(*(np.min([getattr(s, side) for s in scaled], axis=0) for side in ("chosen", "rejected"))),
    }
    signs = np.sign([scores.margin for scores in scaled])  # (members, pairs)
    alike = (signs == signs[0]).all(axis=0)
    return {
        "members": {name: accuracy(scores.margin, pairs) for name, scores in members.items()},
        **{name: accuracy(scores.margin, pairs) for name, scores in together.items()},
        "agreement": {
            name: _accuracy_where(rows, together["mean"].margin, pairs)
            for name, rows in (("all alike", alike), ("split", ~alike))
        },
        "mean_correlation": _mean_correlation([scores.margin for scores in scaled]),
    }


def score_drift(pairs: Sequence[PreferencePair], before: Scores, now: Scores) -> Result:
    """How scores moved: {mean_shift, scale, correlation, flipped, only_before_right, only_now_right, p}.

    mean_shift is in deviations of the scores before, scale the ratio of deviations: what a fixed threshold or an old
    normalisation would be wrong by. flipped: pairs whose preferred response changed. Right is as in `accuracy`, so that
    a tie (`p_chosen` 0.5) can be neither lost nor won; p is McNemar's exact test.
    """
    deviation = float(before.all.std())
    preferred = np.sign(np.array([pair.p_chosen for pair in pairs]) - 0.5)
    test = mcnemar(before.margin * preferred > 0, now.margin * preferred > 0)
    correlation = float(np.corrcoef(before.all, now.all)[0, 1]) if deviation > 0 and now.all.std() > 0 else None
    return {
        "n": len(pairs),
        "mean_shift": float(now.all.mean() - before.all.mean()) / deviation if deviation > 0 else None,
        "scale": float(now.all.std()) / deviation if deviation > 0 else None,
        "correlation": correlation,
        "flipped": int(np.sum(np.sign(before.margin) != np.sign(now.margin))),
        "accuracy_before": accuracy(before.margin, pairs)["accuracy"],
        "only_before_right": test.only_first,
        "only_now_right": test.only_second,
        "p": test.p_value,
    }


def _standardised(scores: Scores) -> Scores:
    deviation = float(scores.all.std())
    scale = deviation if deviation > 0 else 1.0
    mean = float(scores.all.mean())
    return Scores((scores.chosen - mean) / scale, (scores.rejected - mean) / scale)


def _accuracy_where(rows: NDArray[np.bool_], margin: Array, pairs: Sequence[PreferencePair]) -> Result:
    return accuracy(margin[rows], [pair for pair, wanted in zip(pairs, rows, strict=True) if wanted])


def _mean_correlation(margins: Sequence[Array]) -> float | None:
    if len(margins) < 2 or any(margin.std() == 0 for margin in margins):
        return None
    return float(np.mean([np.corrcoef(one, other)[0, 1] for one, other in combinations(margins, 2)]))
