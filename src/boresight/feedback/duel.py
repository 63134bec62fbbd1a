"""Two models answer the same message, blind: the vote becomes a preference pair, and which was which is told last."""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from boresight.data.jsonl import as_record
from boresight.errors import DataError
from boresight.feedback.human_labels import LabelledTask, Verdict, Vote, pairs_of_votes
from boresight.records import Message
from boresight.storage import canonical_json

STEPS = {str(number): number - 4 for number in range(1, 8)}
VERDICTS: dict[str, Verdict] = {"b": "both_bad", "x": "cannot_judge"}


class Said(Protocol):
    """A reply that has ended."""

    @property
    def text(self) -> str: ...


class Speaker(Protocol):
    """A model in conversation. `ask` adds the message and the reply to `messages`, and shows the reply by pieces."""

    messages: tuple[Message, ...]

    def ask(self, text: str, show: Callable[[str], None]) -> Said: ...

    def reset(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Turn:
    """Both replies to one message, waiting for a vote. `shown`: the side that is shown as A, and the one as B."""

    prompt: tuple[Message, ...]
    replies: tuple[str, ...]
    shown: tuple[int, int]
    since: float

    @property
    def as_shown(self) -> tuple[str, str]:
        return self.replies[self.shown[0]], self.replies[self.shown[1]]


@dataclass
class Duel:
    """Two conversations that share their history: after each turn both go on from the answer that was preferred.

    `annotator` is the name that the votes carry.
    """

    sides: tuple[Speaker, Speaker]
    models: tuple[str, str]
    out: Path
    rng: random.Random
    annotator: str
    wins: list[float] = field(default_factory=lambda: [0.0, 0.0])
    written: int = 0

    def reset(self) -> None:
        """Both sides forget what was said; votes that were written stay."""
        for side in self.sides:
            side.reset()

    def ask(self, text: str, show: Callable[[int, str], None] = lambda place, piece: None) -> Turn:
        """One message to both; `show` is given the place (0 for A) and the pieces of its reply as they come.

        A always answers first, whichever model it is. Raises DataError where one cannot answer, the conversations left
        as they were.
        """
        before = self.sides[0].messages
        shown = tuple(self.rng.sample((0, 1), 2))
        replies = ["", ""]
        try:
            for place, side in enumerate(shown):

                def piece_of(piece: str, place: int = place) -> None:
                    show(place, piece)

                replies[side] = self.sides[side].ask(text, piece_of).text
        except BaseException:
            self._go_on(before)
            raise
        return Turn((*before, Message("user", text)), tuple(replies), (shown[0], shown[1]), time.monotonic())

    def vote(self, turn: Turn, key: str) -> bool:
        """Take the vote of a key ("" for none) and go on from the preferred answer; whether a pair was written.

        Raises OSError where it cannot be written; the same vote may then be given again.
        """
        vote = vote_of(key, turn.shown, time.monotonic() - turn.since, self.annotator)
        replies, written = turn.replies, 0
        if vote is not None and replies[0] != replies[1] and all(replies):
            task = LabelledTask(id="", prompt=turn.prompt, responses=replies, votes=(vote,), models=self.models)
            written = self._keep(task)
        best = turn.shown[0] if vote is None or len(set(vote.ranks)) < 2 else vote.ranks.index(1)
        self._go_on((*turn.prompt, Message("assistant", replies[best])))
        return bool(written)

    def _go_on(self, messages: tuple[Message, ...]) -> None:
        for side in self.sides:
            side.messages = messages

    def _keep(self, task: LabelledTask) -> int:
        """Add the pair to the file, and be sure that it is on the disk before the next question."""
        pairs = pairs_of_votes(task)
        for pair in pairs:
            record = as_record(pair) | {"id": f"{self.out.stem}-{time.time_ns()}"}
            with self.out.open("a", encoding="utf-8") as file:
                file.write(canonical_json(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self.written += 1
            ranks = task.votes[0].ranks
            for number in (0, 1):
                self.wins[number] += 0.5 if ranks[0] == ranks[1] else float(ranks[number] == 1)
        return len(pairs)


def vote_of(key: str, shown: tuple[int, int], seconds: float, annotator: str) -> Vote | None:
    """A key as a vote on the models as they are listed; None for no vote."""
    step = STEPS.get(key)
    verdict: Verdict | None = VERDICTS.get(key) if step is None else "ranked" if step else "tie"
    if verdict is None:
        return None
    ranks: tuple[int, ...] = () if verdict == "cannot_judge" else (1, 1)
    if step:
        ranks = (1, 2) if (shown[0] if step < 0 else shown[1]) == 0 else (2, 1)
    return Vote(
        annotator=annotator,
        verdict=verdict,
        ranks=ranks,
        strength=abs(step) if step else None,
        shown=shown,
        seconds=round(seconds, 1),
    )


def writable(out: Path) -> None:
    """Raises DataError where votes could not be added to the file, before anything was asked."""
    try:
        with out.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}). Name another file with --out.") from error
