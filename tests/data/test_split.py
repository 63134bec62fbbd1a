"""Splits that leak nothing and stay as they are when rows are added."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.data.preferences import prompt_key
from boresight.data.split import Groups, Split, beginning_key, drawn_part, paraphrase_key, split_pairs
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


GROUPS = st.sampled_from(["beginnings", "paraphrases"])


@properties
@given(ROWS, st.integers(0, 3), GROUPS)
def test_every_row_is_in_one_part_or_aside(pairs: list[PreferencePair], seed: int, groups: Groups) -> None:
    split = split_pairs(pairs, SHARES, seed, groups)
    rows = [*split.aside, *(p for part in split.parts.values() for p in part)]
    assert sorted(p.id for p in rows) == sorted(p.id for p in pairs)


@properties
@given(ROWS, st.integers(0, 3), GROUPS)
def test_no_prompt_and_no_beginning_of_a_conversation_is_in_two_parts(
    pairs: list[PreferencePair], seed: int, groups: Groups
) -> None:
    split = split_pairs(pairs, SHARES, seed, groups)
    part_of: dict[str, str] = {}
    for name, rows in split.parts.items():
        for row in rows:
            for length in range(1, len(row.prompt) + 1):
                assert part_of.setdefault(prompt_key(row.prompt[:length]), name) == name


@properties
@given(ROWS, ROWS, st.integers(0, 3), GROUPS)
def test_added_rows_move_no_row(
    before: list[PreferencePair], added: list[PreferencePair], seed: int, groups: Groups
) -> None:
    more = [pair(1000 + n, p.prompt, "a", "b") for n, p in enumerate(added)]
    alone = places(split_pairs(before, SHARES, seed, groups))
    together = places(split_pairs([*before, *more], SHARES, seed, groups))
    assert {row: together[row] for row in alone} == alone


@properties
@given(ROWS, st.randoms(use_true_random=False))
def test_by_beginnings_the_order_of_the_rows_does_not_matter(pairs: list[PreferencePair], random: Random) -> None:
    placed = places(split_pairs(pairs, SHARES, 1, "beginnings"))
    shuffled = random.sample(pairs, len(pairs))
    assert places(split_pairs(shuffled, SHARES, 1, "beginnings")) == placed
    assert "aside" not in placed.values()


def test_spellings_of_a_prompt_stay_together() -> None:
    rows = []
    for n in range(200):
        text = f"How do I set pump {n} of hall {n * 7} to the pressure that gate {n * 3} needs at night"
        rows += [pair(2 * n, text + "?", "a", "b"), pair(2 * n + 1, "PLEASE: " + text.upper() + " ...", "a", "b")]
    placed = places(split_pairs(rows, {"train": 0.5, "test": 0.5}, 1))
    assert all(placed[f"p{2 * n}"] == placed[f"p{2 * n + 1}"] for n in range(200))


def parted(pairs: list[PreferencePair], groups: Groups = "paraphrases") -> int:
    """How many of 40 seeds put the rows into two parts, or one aside."""
    shares = {"train": 0.5, "test": 0.5}
    return sum(len(set(places(split_pairs(pairs, shares, seed, groups)).values())) > 1 for seed in range(40))


def test_paraphrases_with_the_same_words_stay_together_and_only_where_that_is_asked_for() -> None:
    rows = [
        pair(1, "How do I bake sourdough bread?", "a", "b"),
        pair(2, "Sourdough bread: how is it that you bake this?", "a", "b"),
    ]
    assert parted(rows) == 0
    assert 10 <= parted(rows, "beginnings") <= 30
    assert 10 <= parted([rows[0], pair(2, "How do I bake rye bread?", "a", "b")]) <= 30, "another question"


def test_conversations_that_say_nearly_the_same_stay_together_though_they_begin_unlike() -> None:
    """All that the user says is alike in all three-word runs but the first, what they say first is not."""
    long = " ".join(f"word{n}" for n in range(58))
    rows = [
        pair(n, (Message("user", hello), Message("assistant", "Yes?"), Message("user", long)), "a", "b")
        for n, hello in enumerate(["Pump", "Valve"])
    ]
    assert parted(rows) == 0
    assert 10 <= parted(rows, "beginnings") <= 30


def test_a_prompt_that_differs_in_case_and_space_goes_the_same_way() -> None:
    rows = [
        pair(2 * i + j, text, "a", "b") for i in range(200) for j, text in enumerate([f"Is it {i}?", f" is  IT {i}?\n"])
    ]
    placed = places(split_pairs(rows, {"train": 0.5, "test": 0.5}, 0, "beginnings"))
    assert all(placed[f"p{2 * i}"] == placed[f"p{2 * i + 1}"] for i in range(200))
    assert 0 < list(placed.values()).count("test") < 400


def test_a_part_of_no_share_stays_empty() -> None:
    rows = [pair(n, f"Question {n}?", "a", "b") for n in range(50)]
    for shares in ({"train": 1.0, "held_out": 0.0}, {"train": 0.0, "held_out": 1.0}):
        split = split_pairs(rows, shares, 1, "beginnings")
        assert {name: len(part) for name, part in split.parts.items()} == {name: 50 * s for name, s in shares.items()}


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
    with pytest.raises(DataError, match=r"expected two parts or more, whose shares add up to 1"):
        split_pairs([], shares, 0)


def test_the_keys_are_what_the_user_said_first() -> None:
    system = Message("system", "Be brief.")
    prompt = (system, *said("Open  the GATE!"), Message("assistant", "Yes."), Message("user", "Now?"))
    assert (beginning_key(prompt), paraphrase_key(prompt)) == ("user: open the gate!", "gate open")
    assert (beginning_key(said("?!")), paraphrase_key(said("?!"))) == ("user: ?!", "user: ?!")
    assert paraphrase_key(said("How are you?")) == "how are you"
    assert beginning_key(()) == paraphrase_key(()) == ""
