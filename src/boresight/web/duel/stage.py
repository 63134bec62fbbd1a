"""A duel as its page sees it: one message at a time, answered beside the requests, by a thread of its own."""

import logging
import threading
from dataclasses import dataclass
from typing import Literal

from boresight.errors import BoresightError
from boresight.feedback.duel import STEPS, VERDICTS, Duel, Turn

Phase = Literal["asking", "answering", "voting"]
KEYS = (*STEPS, *VERDICTS, "")
FAILED = "A model failed. The server's log says why; ask again, or begin anew."


@dataclass(frozen=True, slots=True)
class View:
    """What the page shows: who said what so far, and both answers as far as they are written. `note` tells what came of
    the last step. Nothing in it tells which model is which."""

    phase: Phase
    turn: int
    messages: tuple[tuple[str, str], ...]
    replies: tuple[str, str]
    note: str
    written: int


class NotNow(Exception):  # it is no error of the server: the page is behind
    """A request that does not fit the phase: a second message while models answer, a vote without answers."""


class Stage:
    """The duel and where it stands. Safe between threads; models answer in one thread, one message at a time."""

    def __init__(self, duel: Duel) -> None:
        self._duel = duel
        self._lock = threading.Lock()
        self._phase: Phase = "asking"
        self._number = 0
        self._asked = ""
        self._pieces = ["", ""]
        self._turn: Turn | None = None
        self._messages: tuple[tuple[str, str], ...] = ()
        self._note = ""
        self._thread: threading.Thread | None = None

    def view(self) -> View:
        """What a page shows now."""
        with self._lock:
            asked = (("user", self._asked),) if self._asked else ()
            replies = self._pieces[0].strip(), self._pieces[1].strip()
            written = self._duel.written
            return View(self._phase, self._number, (*self._messages, *asked), replies, self._note, written)

    def ask(self, text: str) -> None:
        """Begin to answer a message."""
        with self._lock:
            self._need("asking")
            self._phase, self._asked, self._pieces, self._note = "answering", text, ["", ""], ""
            self._number += 1
            self._thread = threading.Thread(target=self._answer, args=(text,), daemon=True)
            self._thread.start()

    def vote(self, key: str, turn: int) -> None:
        """Take the vote on the turn of that number. Sent twice it counts once: the second finds another phase."""
        with self._lock:
            self._need("voting")
            if turn != self._number:
                raise NotNow("This vote is on an earlier answer. Load the page again.")
            assert self._turn is not None
            kept = self._duel.vote(self._turn, key)
            self._note = "Kept." if kept else "Nothing was written: no vote, or no two different answers."
            self._settle()

    def reset(self) -> None:
        """Begin a new conversation. Raises NotNow while the models answer."""
        with self._lock:
            if self._phase == "answering":
                raise NotNow("The models are answering. Wait until they have ended.")
            self._duel.reset()
            self._note = ""
            self._settle()

    def tally(self) -> list[tuple[str, float]]:
        """Which models they are, and how often each was preferred; ties count half."""
        with self._lock:
            return list(zip(self._duel.models, self._duel.wins, strict=True))

    def wait(self, seconds: float) -> None:
        """Until the answers that are being written have ended."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _need(self, phase: Phase) -> None:
        if self._phase != phase:
            now = {"asking": "wait for a message", "answering": "are answering", "voting": "wait for your vote"}
            raise NotNow(f"The models {now[self._phase]}. Load the page again if it shows something else.")

    def _settle(self) -> None:
        """Ready for the next message."""
        self._messages = tuple((one.role, one.content) for one in self._duel.sides[0].messages)
        self._phase, self._asked, self._pieces, self._turn = "asking", "", ["", ""], None

    def _answer(self, text: str) -> None:
        problem = ""
        turn = None
        try:
            turn = self._duel.ask(text, self._take)
        except BoresightError as error:
            problem = str(error)
        except Exception:  # a thread has nobody above it: the log is told, and the page that it failed
            logging.getLogger("boresight.web").exception("a model could not answer")
            problem = FAILED
        with self._lock:
            if turn is None:
                self._note = problem
                self._settle()
            else:
                self._phase, self._turn, self._pieces = "voting", turn, list(turn.as_shown)

    def _take(self, place: int, piece: str) -> None:
        with self._lock:
            self._pieces[place] += piece
