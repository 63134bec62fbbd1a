"""Whoever can be asked questions by a rubric: an endpoint, a local model, or a file of answers from a batch."""

from collections.abc import Sequence
from typing import Protocol

from boresight.feedback.judge_client import Estimate, Ledger, Outcome, Prices, Question


class Asker(Protocol):
    """`ask` gives one outcome a question, in order; what was answered before is not asked again."""

    ledger: Ledger
    prices: Prices | None

    @property
    def name(self) -> str:
        """The model's name, as labels tell it."""
        ...

    @property
    def address(self) -> str:
        """Where it is asked: an address or a folder."""
        ...

    def ask(self, questions: Sequence[Question]) -> list[Outcome]:
        """An outcome for each question, in their order: a reply, or why there is none."""
        ...

    def estimate(self, questions: Sequence[Question]) -> Estimate:
        """What `ask` would have to ask. Asks nothing."""
        ...

    def cost(self) -> float | None:
        """US dollars so far; None without prices."""
        ...
