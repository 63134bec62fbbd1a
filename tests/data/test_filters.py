"""Filters: what goes, why, and that nothing vanishes."""

import builtins
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.data.filters import Filters, drop_reasons, filter_pairs, marked
from boresight.errors import DataError
from boresight.records import PreferencePair
from tests.data.lint.making import pair

properties = settings(deadline=None, max_examples=50)

TEXTS = st.sampled_from(["", " ", "one", "one two", "one two three four five", "水泵", "One  two"])


@st.composite
def some_pairs(draw: st.DrawFn) -> list[PreferencePair]:
    rows = draw(st.lists(st.tuples(TEXTS, TEXTS, TEXTS, st.sampled_from([0.5, 0.7, 1.0])), max_size=25))
    return [pair(n, prompt, a, b, p_chosen=p) for n, (prompt, a, b, p) in enumerate(rows)]


def some_filters() -> st.SearchStrategy[Filters]:
    return st.builds(
        Filters,
        max_length_ratio=st.none() | st.floats(0.1, 10),
        length_unit=st.sampled_from(["words", "characters"]),
        duplicates=st.sampled_from(["keep", "drop", "drop_near"]),
        ties=st.sampled_from(["keep", "drop"]),
        max_per_prompt=st.none() | st.integers(1, 3),
        balance_length=st.booleans(),
    )


@properties
@given(some_pairs(), some_filters())
def test_kept_and_dropped_make_up_what_was_read(pairs: list[PreferencePair], filters: Filters) -> None:
    done = filter_pairs(pairs, filters)
    assert sorted([*done.kept, *(item.pair for item in done.dropped)], key=lambda p: int(p.id[1:])) == pairs
    assert len(done.kept) + sum(done.counts().values()) == len(pairs)
    assert [p for p in pairs if p in done.kept] == done.kept
    gone = [item.pair for item in done.dropped]
    assert [p for p in pairs if p in gone] == gone


@properties
@given(some_pairs(), some_filters())
def test_what_was_filtered_passes_the_filters_again(pairs: list[PreferencePair], filters: Filters) -> None:
    kept = filter_pairs(pairs, filters).kept
    assert filter_pairs(kept, filters).kept == kept


@properties
@given(some_pairs())
def test_no_filter_drops_nothing(pairs: list[PreferencePair]) -> None:
    assert filter_pairs(pairs, Filters()).kept == pairs


def test_length_ratio_counts_words_and_names_empty_rejections() -> None:
    pairs = [
        pair(0, "q", "one two  three\nfour", "one two"),  # equal to the bound
        pair(1, "q", "one two three four five", "one two"),
        pair(2, "q", "one", "one two three"),
        pair(3, "q", "one", " "),
    ]
    assert drop_reasons(pairs, Filters(max_length_ratio=2.0)) == {1: "length_ratio", 3: "rejected_without_words"}


def test_length_ratio_can_count_characters() -> None:
    pairs = [pair(0, "q", "水泵水泵", "水泵"), pair(1, "q", "水泵水泵水", "水泵"), pair(2, "q", "水", "")]
    by_characters = Filters(max_length_ratio=2.0, length_unit="characters")
    assert drop_reasons(pairs, by_characters) == {1: "length_ratio", 2: "rejected_without_characters"}
    assert drop_reasons(pairs, Filters(max_length_ratio=2.0)) == {2: "rejected_without_words"}


def test_only_pairs_equal_word_for_word_are_duplicates() -> None:
    pairs = [
        pair(0, "Hi", "Hello.", "No."),
        pair(1, "Hi", "Hello.", "No."),
        pair(2, "Hi", "Hello", "No."),
        pair(3, "Hi", "No.", "Hello."),
    ]
    assert drop_reasons(pairs, Filters(duplicates="drop")) == {1: "duplicate"}


def test_near_duplicates_go_but_for_the_first() -> None:
    pairs = [
        pair(0, "How warm is it?", "Nine degrees today.", "Cold."),
        pair(1, "how warm is it", "Nine degrees, today!", "cold"),
    ]
    assert drop_reasons(pairs, Filters(duplicates="drop_near")) == {1: "near_duplicate"}


def test_near_duplicates_without_rensa_are_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "rensa":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"rensa, which is not installed.*boresight\[data\]"):
        filter_pairs([pair(0, "q", "a", "b")], Filters(duplicates="drop_near"))


def test_ties_go() -> None:
    pairs = [pair(0, "q", "a", "b", p_chosen=0.5), pair(1, "q", "a", "b", strength=0.0), pair(2, "q", "a", "b")]
    assert drop_reasons(pairs, Filters(ties="drop")) == {0: "tie", 1: "tie"}


def test_a_prompt_keeps_its_first_pairs_in_any_spelling() -> None:
    pairs = [pair(n, text, f"a{n}", "b") for n, text in enumerate(["Why?", "why? ", "How?", "WHY?"])]
    assert drop_reasons(pairs, Filters(max_per_prompt=2)) == {3: "prompt_cap"}


def test_a_pair_that_fails_two_filters_goes_for_the_first_alone() -> None:
    pairs = [pair(0, "q", "one two three", "one", p_chosen=0.5)]
    assert filter_pairs(pairs, Filters(ties="drop", max_length_ratio=2.0)).counts() == {"tie": 1}


def test_a_dropped_pair_says_why_and_is_otherwise_the_same() -> None:
    (dropped,) = filter_pairs([pair(0, "q", "a b c", "d", meta={"line": 3})], Filters(max_length_ratio=2.0)).dropped
    assert marked(dropped).meta == {"line": 3, "dropped": "length_ratio"}
    assert marked(dropped).chosen == dropped.pair.chosen
