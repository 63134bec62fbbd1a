"""Preferences that contradict each other."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.lint.making import found, ids, pair, sound_pairs

properties = settings(deadline=None, max_examples=40)

A, B, C, D = "open the gate now", "close the gate now", "paint the gate red", "sell the gate soon"


def test_two_rows_that_prefer_opposite_answers_are_both_pointed_at() -> None:
    pairs = [*sound_pairs(5), pair(10, "q", A, B), pair(11, "q", B, A)]
    assert ids(pairs, found(pairs, "contradictory")) == ["p10", "p11"]


def test_case_and_full_stops_make_no_other_answer() -> None:
    pairs = [pair(1, "What now?", A, B), pair(2, "what now", B.upper() + "!", A + ".")]
    assert ids(pairs, found(pairs, "contradictory")) == ["p1", "p2"]


def test_opposite_preferences_of_two_prompts_are_no_contradiction() -> None:
    assert found([pair(1, "q", A, B), pair(2, "r", B, A)], "contradictory") is None


def test_a_ring_of_three_is_a_cycle_and_its_tail_is_not_on_it() -> None:
    pairs = [pair(1, "q", A, B), pair(2, "q", B, C), pair(3, "q", C, A), pair(4, "q", A, D)]
    assert ids(pairs, found(pairs, "preference_cycle")) == ["p1", "p2", "p3"]
    assert found(pairs, "contradictory") is None


@properties
@given(st.permutations(range(5)))
def test_pairs_of_a_ranking_never_contradict(order: list[int]) -> None:
    texts = [f"answer number {word}" for word in ("one", "two", "three", "four", "five")]
    pairs = [
        pair(10 * better + worse, "q", texts[order[better]], texts[order[worse]])
        for better, worse in itertools.combinations(range(5), 2)
    ]
    assert found(pairs, "contradictory") is None and found(pairs, "preference_cycle") is None
