"""Length balancing: a rule that sees length alone ends at chance, with no pair more than needed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.data.length_balance import LengthGaps, weigh
from boresight.data.preferences import length_counts
from boresight.errors import DataError
from boresight.records import PreferencePair
from tests.data.lint.making import pair

properties = settings(deadline=None, max_examples=60)


def of_gaps(gaps: list[int], **more: object) -> list[PreferencePair]:
    return [pair(n, f"q{n}", "x" * (50 + gap), "x" * 50, **more) for n, gap in enumerate(gaps)]


def excess_pairs(pairs: list[PreferencePair]) -> list[int]:
    lengths = LengthGaps()
    for record in pairs:
        lengths.see(record)
    return lengths.excess(np.arange(len(pairs)))


def left(pairs: list[PreferencePair]) -> list[PreferencePair]:
    gone = set(excess_pairs(pairs))
    return [p for i, p in enumerate(pairs) if i not in gone]


@properties
@given(st.lists(st.integers(-40, 40), max_size=60))
def test_as_many_longer_as_shorter_stay_and_only_the_excess_goes(gaps: list[int]) -> None:
    pairs = of_gaps(gaps)
    longer, shorter, equal = length_counts(pairs)
    assert length_counts(left(pairs)) == (min(longer, shorter), min(longer, shorter), equal)


@properties
@given(st.lists(st.tuples(st.integers(-40, 40), st.sampled_from(["helpful", "harmless"])), max_size=60))
def test_each_kind_is_balanced_by_itself(rows: list[tuple[int, str]]) -> None:
    pairs = [pair(n, f"q{n}", "x" * (50 + gap), "x" * 50, kind=kind) for n, (gap, kind) in enumerate(rows)]
    for kind in ("helpful", "harmless"):
        longer, shorter, _ = length_counts(p for p in left(pairs) if p.kind == kind)
        assert longer == shorter


def test_weak_labels_go_first() -> None:
    pairs = [pair(n, f"q{n}", "xxx", "x", p_chosen=p) for n, p in enumerate([0.9, 0.6, 0.8])]
    assert excess_pairs([*pairs, pair(9, "q9", "x", "xxx"), pair(10, "q10", "x", "xxx")]) == [1]


def test_gaps_of_both_sides_stay_alike() -> None:
    """Thirty large and thirty small gaps are won by the longer one, twenty small ones by the shorter one: the large
    ones, which nothing outweighs, go first."""
    pairs = of_gaps([40] * 30 + [5] * 30 + [-5] * 20)
    kept = [len(p.chosen[0].content) - 50 for p in left(pairs)]
    assert (kept.count(40), kept.count(5), kept.count(-5)) == (0, 20, 20)


def test_the_order_of_the_rows_does_not_matter() -> None:
    pairs = of_gaps([7, 3, 9, -2, 12, 4])
    one = {pairs[i].id for i in excess_pairs(pairs)}
    turned = pairs[::-1]
    assert one == {turned[i].id for i in excess_pairs(turned)}


@properties
@given(st.lists(st.tuples(st.integers(-40, 40), st.sampled_from(["helpful", "harmless"])), max_size=60))
def test_by_weight_both_sides_of_a_kind_are_equal_and_all_weigh_what_they_did(rows: list[tuple[int, str]]) -> None:
    pairs = [pair(n, f"q{n}", "x" * (50 + gap), "x" * 50, kind=kind) for n, (gap, kind) in enumerate(rows)]
    weights = weigh(pairs)
    for kind in ("helpful", "harmless"):
        weight = {n: weights.mark(pairs[n]).meta["weight"] for n, (_, own) in enumerate(rows) if own == kind}
        longer = sum(weight[n] for n in weight if rows[n][0] > 0)
        shorter = sum(weight[n] for n in weight if rows[n][0] < 0)
        assert sum(weight.values()) == pytest.approx(len(weight))
        assert longer == pytest.approx(shorter) or kind in weights.one_sided
    if not weights.one_sided and weights.parts:
        assert weights.accuracy(weighted=True) == pytest.approx(0.5)


def test_weights_by_hand() -> None:
    weights = weigh(of_gaps([9, 9, 9, -9, 0]))
    marked = [weights.mark(p).meta["weight"] for p in of_gaps([9, 9, 9, -9, 0])]
    assert marked == [4 / 6, 4 / 6, 4 / 6, 2.0, 1.0]
    assert (weights.accuracy(weighted=False), weights.accuracy(weighted=True)) == (0.75, 0.5)


def test_a_kind_of_one_side_keeps_its_weights_and_is_told() -> None:
    weights = weigh([*of_gaps([5, 5], kind="short"), *of_gaps([5, -5], kind="even")])
    assert weights.one_sided == ["short"]
    assert weights.mark(of_gaps([5], kind="short")[0]).meta == {"weight": 1.0}
    assert weights.accuracy(weighted=True) == 0.75


def test_a_weight_that_is_there_is_not_overwritten() -> None:
    weights = weigh(of_gaps([9, 9, -9]))
    with pytest.raises(DataError, match=r"pair 'p0': meta\.weight is 3 already"):
        weights.mark(of_gaps([9], meta={"weight": 3})[0])
    once = weights.mark(of_gaps([9])[0])
    assert weights.mark(once) == once


def test_nothing_to_weigh() -> None:
    assert weigh([]).accuracy(weighted=True) is None
    assert weigh(of_gaps([0])).mark(of_gaps([0])[0]).meta == {"weight": 1.0}
