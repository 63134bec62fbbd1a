"""A message to two models, their answers in a drawn order, and the vote as a preference pair."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from boresight.data.readers import read_pairs
from boresight.errors import DataError
from boresight.feedback.duel import Duel, vote_of, writable
from boresight.records import Message


@dataclass
class Line:
    text: str


class Parrot:
    """Answers with its name and what it was told; a message "full" finds no room."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.messages: tuple[Message, ...] = ()

    def ask(self, text: str, show: Callable[[str], None]) -> Line:
        if text == "full":
            raise DataError("no room is left")
        reply = f"{self.name} heard {text}"
        for piece in reply.split():
            show(f"{piece} ")
        self.messages = (*self.messages, Message("user", text), Message("assistant", reply))
        return Line(reply)

    def reset(self) -> None:
        self.messages = ()


def duel(out: Path) -> Duel:
    return Duel((Parrot("one"), Parrot("two")), ("models/one", "models/two"), out, random.Random(3), "me")


@pytest.mark.parametrize(("key", "ranks"), [("1", (2, 1)), ("7", (1, 2)), ("4", (1, 1)), ("b", (1, 1)), ("x", ())])
def test_a_key_is_a_vote_on_the_models_as_listed(key: str, ranks: tuple[int, ...]) -> None:
    vote = vote_of(key, (1, 0), 2.0, "me")  # the second model was shown as A
    assert vote is not None and vote.ranks == ranks and vote.shown == (1, 0)
    assert vote_of("", (1, 0), 2.0, "me") is None


def test_both_go_on_from_the_preferred_answer_and_each_order_is_drawn(tmp_path: Path) -> None:
    talk = duel(tmp_path / "pairs.jsonl")
    orders = set()
    for number in range(12):
        seen = ["", ""]

        def take(place: int, piece: str, seen: list[str] = seen) -> None:
            seen[place] += piece

        turn = talk.ask(f"m{number}", take)
        assert (seen[0].strip(), seen[1].strip()) == turn.as_shown
        orders.add(turn.shown)
        assert talk.vote(turn, "2")  # A is clearly better
        assert talk.sides[0].messages == talk.sides[1].messages
        assert talk.sides[0].messages[-1].content == turn.as_shown[0]
    assert orders == {(0, 1), (1, 0)}
    pairs = read_pairs(tmp_path / "pairs.jsonl").pairs
    assert len(pairs) == 12 == sum(talk.wins) and all(pair.source == "human" for pair in pairs)
    assert pairs[1].prompt[1].content == pairs[0].chosen[0].content


def test_a_model_without_room_leaves_both_conversations_as_they_were(tmp_path: Path) -> None:
    talk = duel(tmp_path / "pairs.jsonl")
    talk.vote(talk.ask("hello"), "4")
    before = talk.sides[0].messages
    with pytest.raises(DataError, match="no room"):
        talk.ask("full")
    assert talk.sides[0].messages == talk.sides[1].messages == before


def test_a_file_that_cannot_be_written_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--out"):
        writable(tmp_path)
