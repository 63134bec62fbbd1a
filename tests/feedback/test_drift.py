"""A judge asked again: no alarm where nothing changed, a named warning where it did."""

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest

from boresight.errors import DataError
from boresight.feedback.calibration import audit_sample
from boresight.feedback.drift import Asked, ask_again, drift_figures, drift_warning
from boresight.feedback.judge import Comparison, Verdict

from .planted_couples import Planted, labelled, planted_couples

COUPLES = planted_couples(60, Planted(noise=0.1, longer_is_better=0.5))
BETTER = {couple.a if better == 1 else couple.b for couple, better in COUPLES}
AUDIT = audit_sample(labelled(COUPLES), 40, seed=0)


class Now:
    """Prefers the better response, the first, or the longer; `turned` is the share of verdicts turned round."""

    def __init__(self, what: str = "better", turned: float = 0.1, failing: bool = False) -> None:
        self.what, self.turned, self.failing = what, turned, failing

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        return [Verdict(float("nan"), failure="refused") if self.failing else self._of(c) for c in comparisons]

    def _of(self, c: Comparison) -> Verdict:
        value = {
            "better": c.first.text in BETTER,
            "first": True,
            "longer": len(c.first.text) > len(c.second.text),
        }[self.what]
        drawn = hashlib.sha256((c.first.text + c.second.text).encode()).digest()[0] / 256
        return Verdict(float(value != (drawn < self.turned)))


def figures(judge: Now) -> dict[str, Any]:
    return drift_figures(*ask_again(AUDIT, judge))


def test_judge_that_answers_as_before_is_no_drift() -> None:
    found = figures(Now())
    assert found["n"] == 40 and found["failed"] == 0 and found["drifted"] == [] and drift_warning(found) is None
    assert 0 < found["changed"] < 0.4


@pytest.mark.parametrize(
    ("judge", "moved", "words"),
    [
        (Now("first", 0.0), ["with_people", "first_position"], "preference for the first place 0.46 -> 1.00"),
        (Now("longer", 0.0), ["with_people", "longer"], "preference for length"),
        (Now("better", 0.5), ["with_people"], "agreement with people"),
    ],
)
def test_drift_is_named_by_what_moved(judge: Now, moved: list[str], words: str) -> None:
    found = figures(judge)
    assert found["drifted"] == moved
    warning = drift_warning(found)
    assert warning is not None and warning.startswith("judge_drift: ") and words in warning


def test_judge_that_fails_now_is_drift_too() -> None:
    found = figures(Now(failing=True))
    assert found["drifted"] == ["failures"] and "40 of 40 got no verdict" in str(drift_warning(found))


def test_false_alarms_are_rare() -> None:
    import random

    draw, alarms = random.Random(0), 0
    for _ in range(100):
        asked = [
            Asked((float(draw.random() < 0.8), float(draw.random() < 0.8)),
                  (float(draw.random() < 0.8), float(draw.random() < 0.8)), 1.0, draw.choice((-1, 1)))
            for _ in range(40)
        ]  # fmt: skip
        alarms += bool(drift_figures(asked, 0)["drifted"])
    assert alarms <= 4


def test_calibration_without_a_sample_cannot_be_checked() -> None:
    with pytest.raises(DataError, match="--audit 40"):
        ask_again(AUDIT[:5], Now())
