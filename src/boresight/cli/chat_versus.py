"""Two models side by side in the terminal, or in a page of this machine's browser; see `feedback.duel`."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from boresight.errors import DataError
from boresight.feedback.duel import Duel, writable
from boresight.models.conversation import Conversation

ASK = "better? 1 A much … 4 the same … 7 B much, b both bad, x cannot judge, Enter: no vote> "
HELP = "answers are A and B in an order drawn anew each time; /reset begins a new conversation, /quit leaves"


def duel(sides: tuple[Conversation, Conversation], models: tuple[Path, Path], out: Path, seed: int | None) -> None:
    """Read messages and votes from the terminal or a pipe until the end of the input or /quit."""
    talk = _duel(sides, models, out, seed, "terminal")
    print(HELP, file=sys.stderr)
    for line in _lines("you> "):
        if line == "/quit":
            break
        if line == "/reset":
            talk.reset()
            print("a new conversation", file=sys.stderr)
        elif line.startswith("/"):
            print(f"unknown command {line.split()[0]}; {HELP}", file=sys.stderr)
        elif line:
            _turn(talk, line)
    _tell(talk)


def duel_in_browser(
    sides: tuple[Conversation, Conversation], models: tuple[Path, Path], out: Path, seed: int | None, port: int
) -> None:
    """Serve the page on this machine alone until Ctrl-C."""
    from boresight.cli.web_extra import web_packages

    with web_packages():
        from boresight.web.duel.start import open_duel

    talk = _duel(sides, models, out, seed, "browser")

    def say(link: str) -> None:
        print(link, flush=True)
        print("Ctrl-C ends the page; votes are kept.", file=sys.stderr)

    open_duel(talk, port, open_page=sys.stdout.isatty(), say=say)
    _tell(talk)


def _duel(
    sides: tuple[Conversation, Conversation], models: tuple[Path, Path], out: Path, seed: int | None, annotator: str
) -> Duel:
    writable(out)
    return Duel(sides, (str(models[0]), str(models[1])), out, random.Random(seed), annotator)


def _turn(talk: Duel, line: str) -> None:
    try:
        turn = talk.ask(line)
    except DataError as error:
        print(f"{error.label}: {error}", file=sys.stderr)
        return
    first, second = turn.as_shown
    print(f"A> {first}\n\nB> {second}", flush=True)
    talk.vote(turn, next(_lines(ASK), ""))


def _tell(talk: Duel) -> None:
    for name, wins in zip(talk.models, talk.wins, strict=True):
        print(f"{name}: {wins:g} of {talk.written}", file=sys.stderr)
    if talk.written:
        print(f"{talk.written} preference pairs added to {talk.out}", file=sys.stderr)


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
