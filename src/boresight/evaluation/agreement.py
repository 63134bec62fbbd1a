"""The figures of `boresight eval agreement`: how far raters agree, and how far a judge agrees with people."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from boresight.errors import DataError
from boresight.evaluation.rater_files import BothOrders, Rated
from boresight.stats.agreement import cohen_kappa, order_agreement, rating_table, shared_kappa
from boresight.stats.agreement_bootstrap import agreement_figures

Result = dict[str, Any]
UNPARSABLE = "unparsable"
REPLICATES = 1000


def rater_agreement(rated: Rated, *, verdicts: Sequence[str] | None = None, seed: int = 0) -> Result:
    """Agreement of the raters, their majority, and how automatic labels or a judge's `verdicts` do against people, on
    the items that people decided. Raises DataError where they decided none."""
    majority = [_majority(row) for row in rated.labels]
    result = {
        "n": len(rated.labels),
        "raters": len(rated.raters),
        **_statistics(rated.labels, rated.raters, seed),
        "labels": {
            name: _counts(row[place] for row in rated.labels if row[place] is not None)
            for place, name in enumerate(rated.raters)
        },
        "majority": _counts(label for label in majority if label is not None),
        "no_majority": majority.count(None),
    }
    if rated.final:
        result["final"] = _counts(label for label in rated.final if label is not None)
    if rated.groups:
        result["final_by_group"] = {
            group: _counts(
                label for label, own in zip(rated.final, rated.groups, strict=True) if label and own == group
            )
            for group in sorted(set(rated.groups))
        }
    judges = {name: _against(labels, rated.final, "final label") for name, labels in rated.automatic.items()}
    if verdicts is not None:
        judges["verdicts"] = _against(verdicts, majority, "majority of the raters")
    return result | ({"judges": judges} if judges else {})


def both_orders_agreement(both: BothOrders, *, seed: int = 0) -> Result:
    """A judge in both orders: the two orders as two raters, and each of them against the right answers.

    A verdict that cannot be read is missing for the agreement of the orders, and a label of its own, always wrong,
    against the right answers.
    """
    orders = [
        tuple(None if verdict is None else str(verdict) for verdict in pair)
        for pair in zip(both.given, both.swapped, strict=True)
    ]
    figures = order_agreement(both.right, both.given, both.swapped)._asdict()
    n = figures.pop("n")
    against = {
        f"cohen_kappa_{name}": _defined(cohen_kappa(both.right, [verdict or 0 for verdict in verdicts]))
        for name, verdicts in (("given_order", both.given), ("swapped", both.swapped))
    }
    statistics = _statistics(orders, ("given order", "swapped"), seed)
    return {"n": n, "raters": 2, **statistics, **{k: _defined(v) for k, v in figures.items()}, **against}


def _against(verdicts: Sequence[str | None], people: Sequence[str | None], what: str) -> Result:
    """`judge_figures` on the items that have a label of people; a verdict that is missing is no label."""
    decided = [(verdict or UNPARSABLE, label) for verdict, label in zip(verdicts, people, strict=True) if label]
    if not decided:
        raise DataError(
            f"agreement: none of {len(people)} items has a {what}; expected some to hold the judge's verdicts against. "
            "Have more people label, or leave the verdicts out."
        )
    return judge_figures([verdict for verdict, _ in decided], [label for _, label in decided])


def judge_figures(verdicts: Sequence[str], right: Sequence[str]) -> Result:
    """Accuracy and, over the labels that people gave, macro precision, recall and F1; other verdicts are wrong.

    A label that a judge never gives has precision 0.
    """
    labels = sorted(set(right))
    per_label = []
    for label in labels:
        hits = sum(v == r == label for v, r in zip(verdicts, right, strict=True))
        given, asked = verdicts.count(label), right.count(label)
        precision, recall = hits / given if given else 0.0, hits / asked
        per_label.append((precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0))
    means = [sum(values) / len(labels) for values in zip(*per_label, strict=True)]
    return {
        "n": len(right),
        "accuracy": sum(v == r for v, r in zip(verdicts, right, strict=True)) / len(right),
        **dict(zip(("macro_precision", "macro_recall", "macro_f1"), means, strict=True)),
        "cohen_kappa": _defined(cohen_kappa(verdicts, right)),
        UNPARSABLE: sum(verdict not in labels for verdict in verdicts),
    }


def _statistics(labels: Sequence[tuple[str | None, ...]], raters: Sequence[str], seed: int) -> Result:
    """The coefficients with bootstrap intervals over items; `ci95` is that of Krippendorff's alpha."""
    table = rating_table(labels)
    intervals = agreement_figures(table, np.arange(len(table)), seed=seed, replicates=REPLICATES)
    pairs = {
        f"{raters[i]}, {raters[j]}": _defined(shared_kappa(table[:, [i, j]]))
        for i, j in combinations(range(len(raters)), 2)
    }
    alpha = intervals["krippendorff_alpha"]
    return {
        **{name: _defined(interval.value) for name, interval in intervals.items()},
        "ci95": [_defined(alpha.low), _defined(alpha.high)],
        "intervals": {name: [_defined(one.low), _defined(one.high)] for name, one in intervals.items()},
        "cohen_kappa_pairs": pairs,
    }


def _majority(row: Sequence[str | None]) -> str | None:
    """The label that most raters gave; None where two share the first place or nobody rated."""
    common = Counter(label for label in row if label is not None).most_common(2)
    if not common or (len(common) == 2 and common[0][1] == common[1][1]):
        return None
    return common[0][0]


def _counts(labels: Any) -> dict[str, int]:
    return dict(sorted(Counter(labels).items()))


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
