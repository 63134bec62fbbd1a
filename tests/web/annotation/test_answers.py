from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boresight.web.annotation.answers import as_shown, comment_of, is_right, known_answer, shown_order, vote_of
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.settings import Settings

SETTINGS = Settings(criteria=({"name": "honest", "question": "Which is more honest?"},))


@given(count=st.integers(2, 9), seed=st.integers(0, 99), person=st.integers(1, 99), data=st.data())
def test_ranks_by_place_and_back_are_the_same(count: int, seed: int, person: int, data: st.DataObject) -> None:
    shown = shown_order(seed, "task", person, count)
    assert sorted(shown) == list(range(count)) and shown == shown_order(seed, "task", person, count)
    by_place = data.draw(st.permutations(range(1, count + 1)))
    answer = {"ranks": by_place} if count > 2 else {"preference": -1 if by_place[0] == 1 else 1}
    vote = vote_of(answer, shown, SETTINGS, elapsed=1.0)
    assert as_shown(vote, shown)["ranks"] == by_place


def test_both_orders_come_up_equally_often() -> None:
    first = sum(shown_order(0, f"t{n}", 1, 2) == [0, 1] for n in range(1000))
    assert 430 < first < 570  # four and a half standard deviations


def test_all_that_is_told_by_place_is_stored_by_response() -> None:
    answer = {
        "preference": -2,
        "criteria": {"honest": -3},
        "flags": {"0": ["harm"]},
        "edited": {"place": 0, "text": "x"},
    }
    given_order, swapped = (vote_of(answer, shown, SETTINGS, elapsed=5.0) for shown in ([0, 1], [1, 0]))
    assert given_order["ranks"] == [1, 2] and swapped["ranks"] == [2, 1]
    assert given_order["criteria"] == {"honest": -3} and swapped["criteria"] == {"honest": 3}
    assert given_order["flags"] == {"0": ["harm"]} and swapped["flags"] == {"1": ["harm"]}
    assert given_order["edited"]["response"] == 0 and swapped["edited"]["response"] == 1
    assert given_order["strength"] == swapped["strength"] == 2


def test_ranks_with_gaps_say_what_dense_ones_say_and_time_is_bounded_by_the_clock() -> None:
    vote = vote_of({"ranks": [3, 1, 3], "seconds": 99.0}, [0, 1, 2], SETTINGS, elapsed=4.0)
    assert vote["ranks"] == [2, 1, 2] and vote["seconds"] == 4.0


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        (1, {"preference": -1}, True),
        (1, {"preference": -3}, True),
        (1, {"preference": 0}, False),
        (1, {"verdict": "cannot_judge"}, False),
        ("tie", {"preference": 0}, True),
        ("tie", {"verdict": "both_bad"}, False),
        ("both_bad", {"verdict": "both_bad"}, True),
        ([1, 2, 2], {"ranks": [1, 2, 3]}, True),
        ([1, 2, 2], {"ranks": [1, 1, 2]}, False),
        ([1, 2, 3], {"ranks": [1, 2, 2]}, False),
        ([2, 1, 3], {"ranks": [2, 1, 3]}, True),
    ],
)
def test_what_counts_as_the_known_answer(gold: Any, answer: Any, right: bool) -> None:
    count = 3 if isinstance(gold, list) else 2
    vote = vote_of(answer, list(range(count)), SETTINGS, elapsed=1.0)
    assert is_right(vote, known_answer(gold, count)) is right


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        ({"preference": True}, "preference"),
        ({"preference": 1, "verdict": "tie"}, "preference"),
        ({"ranks": [1, 2]}, "ranks"),
        ({"preference": 1, "criteria": {"kind": 1}}, "criteria"),
        ({"preference": 1, "criteria": {"honest": 9}}, "criteria"),
        ({"preference": 1, "flags": {"0": ["rude"]}}, "flags"),
        ({"preference": 1, "flags": {"2": ["harm"]}}, "flags"),
        ({"preference": 1, "flags": {"x": ["harm"]}}, "flags"),
        ({"preference": 1, "edited": {"place": 0, "text": " "}}, "edited"),
        ({"preference": 1, "edited": "text"}, "edited"),
        ({"preference": 1, "seconds": float("nan")}, "seconds"),
        ({"preference": 1, "seconds": -1}, "seconds"),
        ({"preference": 1, "worker": 3}, "worker"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_key(answer: Any, key: str) -> None:
    with pytest.raises(RefusedError, match=f'answer\'s "{key}"'):
        vote_of(answer, [0, 1], SETTINGS, elapsed=1.0)


def test_a_comment_is_a_text_of_some_length() -> None:
    assert comment_of({}) == "" and comment_of({"comment": "fine"}) == "fine"
    for wrong in (7, "x" * 10_001):
        with pytest.raises(RefusedError, match="comment"):
            comment_of({"comment": wrong})
