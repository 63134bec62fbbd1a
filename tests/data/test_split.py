"""Splits that leak nothing and stay as they are when rows are added."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.data.preferences import prompt_key
from boresight.data.split import Split, beginning_key, drawn_part, split_pairs
from boresight.errors import DataError
from boresight.records import Message, Messages, PreferencePair
from tests.data.lint.making import pair, said

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
WORDS = st.sampled_from(["pump", "gate", "Valve", "open,", "the", "hall?", "水"])
TURNS = st.lists(st.lists(WORDS, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=3)


def conversation(turns: list[str]) -> Messages:
    messages: list[Message] = []
    for turn in turns:
        messages += [Message("user", turn), Message("assistant", "Yes.")]
    return tuple(messages[:-1])


ROWS = st.lists(TURNS, max_size=30).map(
    lambda rows: [pair(n, conversation(turns), "a", "b") for n, turns in enumerate(rows)]
)

properties = settings(deadline=None, max_examples=40)


def places(split: Split) -> dict[str, str]:
    return {p.id: name for name, pairs in split.parts.items() for p in pairs} | {p.id: "aside" for p in split.aside}


@properties
@given(ROWS, st.integers(0, 3))
def test_every_row_is_in_one_part_or_aside(pairs: list[PreferencePair], seed: int) -> None:
    split = split_pairs(pairs, SHARES, seed)
    rows = [*split.aside, *(p for part in split.parts.values() for p in part)]
    assert sorted(p.id for p in rows) == sorted(p.id for p in pairs)


@properties
@given(ROWS, st.integers(0, 3))
def test_no_prompt_and_no_beginning_of_a_conversation_is_in_two_parts(pairs: list[PreferencePair], seed: int) -> None:
    split = split_pairs(pairs, SHARES, seed)
    part_of: dict[str, str] = {}
    for name, rows in split.parts.items():
        for row in rows:
            for length in range(1, len(row.prompt) + 1):
                assert part_of.setdefault(prompt_key(row.prompt[:length]), name) == name


@properties
@given(ROWS, ROWS, st.integers(0, 3))
def test_added_rows_move_no_row(before: list[PreferencePair], added: list[PreferencePair], seed: int) -> None:
    more = [pair(1000 + n, p.prompt, "a", "b") for n, p in enumerate(added)]
    alone, together = places(split_pairs(before, SHARES, seed)), places(split_pairs([*before, *more], SHARES, seed))
    assert {row: together[row] for row in alone} == alone


def test_spellings_of_a_prompt_stay_together() -> None:
    rows = []
    for n in range(200):
        text = f"How do I set pump {n} of hall {n * 7} to the pressure that gate {n * 3} needs at night"
        rows += [pair(2 * n, text + "?", "a", "b"), pair(2 * n + 1, "PLEASE: " + text.upper() + " ...", "a", "b")]
    placed = places(split_pairs(rows, {"train": 0.5, "test": 0.5}, 1))
    together = [placed[f"p{2 * n}"] == placed[f"p{2 * n + 1}"] for n in range(200)]
    assert sum(together) >= 170, "15 of 17 three-word runs are shared; MinHash sees most of such pairs"


def test_shares_are_met_in_every_kind_and_the_seed_decides() -> None:
    rows = [pair(n, f"Question number {n}?", "a", "b", kind=("plain", "odd")[n % 2]) for n in range(4000)]
    split = split_pairs(rows, {"train": 0.9, "test": 0.1}, 3)
    for counts in split.strata().values():
        assert 157 <= counts["test"] <= 243  # 200 expected, three deviations of sqrt(2000 * 0.1 * 0.9) = 13.4, and some
    assert places(split) != places(split_pairs(rows, {"train": 0.9, "test": 0.1}, 4))
    assert places(split) == places(split_pairs(rows, {"train": 0.9, "test": 0.1}, 3))


def test_a_larger_test_part_holds_the_smaller_one() -> None:
    keys = [f"question {n}" for n in range(500)]
    small = {key for key in keys if drawn_part(key, {"train": 0.9, "test": 0.1}, 0) == "test"}
    large = {key for key in keys if drawn_part(key, {"train": 0.7, "test": 0.3}, 0) == "test"}
    assert small and small < large


def test_a_row_near_to_two_parts_is_left_aside() -> None:
    """Texts of 60 words that share 57: each end is near to the middle, but not so near to the other."""
    middle = [f"word{n}" for n in range(60)]
    for seed in range(40):
        one, other = [*middle[:-2], "left", "end"], ["other", "start", *middle[2:]]
        rows = [
            pair(1, " ".join(one), "a", "b"),
            pair(2, " ".join(other), "a", "b"),
            pair(3, " ".join(middle), "a", "b"),
        ]
        split = split_pairs(rows, {"train": 0.5, "test": 0.5}, seed)
        placed = places(split)
        if placed["p1"] != placed["p2"]:
            assert placed["p3"] == "aside"
            return
    pytest.fail("no seed parted the two ends")


@pytest.mark.parametrize("shares", [{}, {"train": 1.0}, {"train": 0.9, "test": 0.2}, {"train": 1.2, "test": -0.2}])
def test_shares_that_do_not_fit_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(DataError, match=r"expected two parts or more, each above 0, that add up to 1"):
        split_pairs([], shares, 0)


def test_the_key_is_what_the_user_said_first() -> None:
    system = Message("system", "Be brief.")
    assert beginning_key((system, *said("Open the GATE!"), Message("assistant", "Yes."), Message("user", "Now?"))) == (
        "open the gate"
    )
    assert beginning_key(said("?!")) == "user: ?!"
    assert beginning_key(()) == ""
