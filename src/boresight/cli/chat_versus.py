"""Two models side by side in the terminal, blind: votes become preference pairs; which was which is told last."""

import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from boresight.data.jsonl import as_record
from boresight.errors import DataError
from boresight.feedback.human_labels import LabelledTask, Verdict, Vote, pairs_of_votes
from boresight.models.conversation import Conversation
from boresight.records import Message
from boresight.storage import canonical_json

ASK = "better? 1 A much … 4 the same … 7 B much, b both bad, x cannot judge, Enter: no vote> "
HELP = "answers are A and B in an order drawn anew each time; /reset begins a new conversation, /quit leaves"
STEPS = {str(number): number - 4 for number in range(1, 8)}
VERDICTS: dict[str, Verdict] = {"b": "both_bad", "x": "cannot_judge"}


@dataclass
class Duel:
    """Two conversations that share their history: after each turn both go on from the answer that was preferred."""

    sides: tuple[Conversation, Conversation]
    models: tuple[str, str]
    out: Path
    rng: random.Random
    wins: list[float] = field(default_factory=lambda: [0.0, 0.0])
    written: int = 0

    def reset(self) -> None:
        for side in self.sides:
            side.reset()

    def turn(self, text: str, vote_for: Callable[[str, str], str]) -> None:
        """One message to both; `vote_for` shows the answers and brings a key. Raises DataError where one cannot answer,
        the conversations left as they were."""
        before = self.sides[0].messages
        try:
            replies = tuple(side.ask(text, lambda piece: None).text for side in self.sides)
        except DataError:
            self._go_on(before)
            raise
        shown = self.rng.sample((0, 1), 2)
        start = time.monotonic()
        key = vote_for(replies[shown[0]], replies[shown[1]])
        prompt = (*before, Message("user", text))
        vote = vote_of(key, shown, time.monotonic() - start)
        if vote is not None and replies[0] != replies[1] and all(replies):
            self._keep(LabelledTask(id="", prompt=prompt, responses=replies, votes=(vote,), models=self.models))
        best = shown[0] if vote is None or len(set(vote.ranks)) < 2 else vote.ranks.index(1)
        self._go_on((*prompt, Message("assistant", replies[best])))

    def _go_on(self, messages: tuple[Message, ...]) -> None:
        for side in self.sides:
            side.messages = messages

    def _keep(self, task: LabelledTask) -> None:
        """Add the pair to the file, and be sure that it is on the disk before the next question."""
        for pair in pairs_of_votes(task):
            record = as_record(pair) | {"id": f"{self.out.stem}-{time.time_ns()}"}
            with self.out.open("a", encoding="utf-8") as file:
                file.write(canonical_json(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self.written += 1
            ranks = task.votes[0].ranks
            for number in (0, 1):
                self.wins[number] += 0.5 if ranks[0] == ranks[1] else float(ranks[number] == 1)


def vote_of(key: str, shown: list[int], seconds: float) -> Vote | None:
    """A key as a vote on the models as they are listed; None for no vote."""
    step = STEPS.get(key)
    verdict: Verdict | None = VERDICTS.get(key) if step is None else "ranked" if step else "tie"
    if verdict is None:
        return None
    ranks: tuple[int, ...] = () if verdict == "cannot_judge" else (1, 1)
    if step:
        ranks = (1, 2) if (shown[0] if step < 0 else shown[1]) == 0 else (2, 1)
    return Vote(
        annotator="terminal",
        verdict=verdict,
        ranks=ranks,
        strength=abs(step) if step else None,
        shown=tuple(shown),
        seconds=round(seconds, 1),
    )


def duel(sides: tuple[Conversation, Conversation], models: tuple[Path, Path], out: Path, seed: int | None) -> None:
    """Read messages and votes from the terminal or a pipe until the end of the input or /quit."""
    talk = Duel(sides, (str(models[0]), str(models[1])), out, random.Random(seed))
    print(HELP, file=sys.stderr)

    def vote_for(first: str, second: str) -> str:
        print(f"A> {first}\n\nB> {second}", flush=True)
        return next(_lines(ASK), "")

    for line in _lines("you> "):
        if line == "/quit":
            break
        if line == "/reset":
            talk.reset()
            print("a new conversation", file=sys.stderr)
        elif line.startswith("/"):
            print(f"unknown command {line.split()[0]}; {HELP}", file=sys.stderr)
        elif line:
            try:
                talk.turn(line, vote_for)
            except DataError as error:
                print(f"{error.label}: {error}", file=sys.stderr)
    for name, wins in zip(talk.models, talk.wins, strict=True):
        print(f"{name}: {wins:g} of {talk.written}", file=sys.stderr)
    if talk.written:
        print(f"{talk.written} preference pairs added to {out}", file=sys.stderr)


def _lines(prompt: str) -> Iterator[str]:
    """Lines without white space at their ends, until the end of the input."""
    while True:
        if sys.stdin.isatty():
            try:
                line = input(prompt)
            except EOFError:
                return
        else:
            line = sys.stdin.readline()
            if not line:
                return
        yield line.strip()
