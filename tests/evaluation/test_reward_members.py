from dataclasses import replace

import numpy as np
import pytest

from boresight.evaluation.reward_members import Scores, ensemble, score_drift
from boresight.records import Message, PreferencePair


def pairs(n: int) -> list[PreferencePair]:
    side = {name: (Message("assistant", name),) for name in ("chosen", "rejected")}
    return [PreferencePair(id=f"p{i}", prompt=(Message("user", f"q{i}"),), **side) for i in range(n)]


def test_members_count_alike_whatever_their_scale() -> None:
    """One member errs on the first pair, one on the second; a thousandfold scale gives neither more weight."""
    one = Scores.of([0.0, 3.0, 2.0], [1.0, 0.0, 0.0])
    other = Scores.of([3000.0, 0.0, 2000.0], [0.0, 1000.0, 0.0])
    found = ensemble(pairs(3), {"one": one, "other": other})
    assert [own["accuracy"] for own in found["members"].values()] == pytest.approx([2 / 3, 2 / 3])
    assert found["mean"]["accuracy"] == 1.0
    assert (found["agreement"]["all alike"]["n"], found["agreement"]["split"]["n"]) == (1, 2)
    rescaled = ensemble(pairs(3), {"one": one, "other": Scores.of(other.chosen / 1000 - 7, other.rejected / 1000 - 7)})
    assert rescaled["mean"] == found["mean"] and rescaled["lowest"] == found["lowest"]
    assert rescaled["mean_correlation"] == pytest.approx(found["mean_correlation"])


def test_the_lowest_member_decides_where_one_is_fooled() -> None:
    """The rejected response of the last pair pleases one member beyond measure; the lowest score sees through it."""
    honest = Scores.of([1.0, 1.0, 1.0, 1.0], [-1.0, -1.0, -1.0, -1.0])
    fooled = Scores.of([1.0, 1.0, 1.0, 1.0], [-1.0, -1.0, -1.0, 9.0])
    found = ensemble(pairs(4), {"honest": honest, "fooled": fooled})
    assert found["mean"]["accuracy"] == 0.75 and found["lowest"]["accuracy"] == 1.0


def test_drift_by_hand() -> None:
    before = Scores.of([2.0, 0.0, 1.0], [0.0, 2.0, 1.0])  # right, wrong, neither; mean 1
    now = Scores.of(2 * before.chosen + 3, 2 * before.rejected + 3)
    found = score_drift(pairs(3), before, now)
    deviation = before.all.std()
    assert found["mean_shift"] == pytest.approx((5 - 1) / deviation) and found["scale"] == pytest.approx(2)
    assert found["correlation"] == pytest.approx(1) and (found["flipped"], found["p"]) == (0, 1.0)
    turned = score_drift(pairs(3), before, Scores.of(before.rejected, before.chosen))
    assert (turned["flipped"], turned["only_before_right"], turned["only_now_right"]) == (2, 1, 1)
    either, other = (replace(pair, p_chosen=p) for pair, p in zip(pairs(2), (0.5, 0.2), strict=True))
    tied = score_drift([either, other], Scores.of([1.0, 1.0], [0.0, 0.0]), Scores.of([0.0, 0.0], [1.0, 1.0]))
    # Of the tie neither order is right; of the other pair people prefer the rejected response, as the scores do now.
    assert (tied["only_before_right"], tied["only_now_right"], tied["accuracy_before"]) == (0, 1, 0.0)
    constant = score_drift(pairs(3), Scores.of(np.ones(3), np.ones(3)), before)
    assert constant["mean_shift"] is None and constant["correlation"] is None
