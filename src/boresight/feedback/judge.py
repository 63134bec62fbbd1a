"""What a judge is asked and what it answers. A judge never learns which model gave which response."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from boresight.records import Prompt

if TYPE_CHECKING:  # rules and checks judge without torch
    from boresight.models.roles import RewardModel


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as a judge sees it. `stopped`: it was finished, not cut off at the length limit."""

    text: str
    stopped: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to one prompt in the order in which they are shown."""

    prompt: Prompt
    first: Answer
    second: Answer

    def swapped(self) -> "Comparison":
        return Comparison(self.prompt, self.second, self.first)


@dataclass(frozen=True, slots=True)
class Verdict:
    """1: the first is better, 0: the second, 0.5: a tie; between them where several were combined. Scores where the
    judge gives any. `failure` names why there is no verdict; `value` is then NaN, never a tie."""

    value: float
    first_score: float | None = None
    second_score: float | None = None
    failure: str = ""


class Judge(Protocol):
    """Anything that compares two answers, many comparisons at a time."""

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """A verdict for each comparison, in their order; one that failed says so in its `failure`."""
        ...


class ToldJudge(Judge, Protocol):
    """A judge that tells beside its labels who it is, and what it was asked."""

    def identity(self) -> dict[str, Any]:
        """{"judge": name, ...}"""
        ...

    def account(self) -> dict[str, Any]:
        """failure_examples, unreadable_replies, base_url, answer_mass and cost (null where nothing is counted)."""
        ...


class RewardModelJudge:
    """The answer with the higher reward-model score wins; an answer that was cut off is scored as it stands. `soft`:
    the verdict is the probability that the model gives the first, sigmoid(first - second) (Bradley and Terry)."""

    def __init__(self, model: "RewardModel", tie_margin: float, *, name: str = "", soft: bool = False) -> None:
        self._model = model
        self._tie_margin = tie_margin
        self._name = name
        self._soft = soft

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        answers = {(c.prompt.messages, a.text): 0.0 for c in comparisons for a in (c.first, c.second)}
        scores = self._model.score([prompt for prompt, _ in answers], [text for _, text in answers])
        known = dict(zip(answers, scores.tolist(), strict=True))
        verdicts = []
        for c in comparisons:
            first, second = known[c.prompt.messages, c.first.text], known[c.prompt.messages, c.second.text]
            value = verdict_of(first, second, self._tie_margin)
            if self._soft and value != 0.5:
                value = 1.0 / (1.0 + math.exp(min(second - first, 700.0)))
            verdicts.append(Verdict(value, first, second))
        return verdicts

    def identity(self) -> dict[str, Any]:
        return {"judge": self._name}

    def account(self) -> dict[str, Any]:
        return {
            "failure_examples": {}, "unreadable_replies": 0, "base_url": None, "answer_mass": None, "cost": None,
        }  # fmt: skip


def verdict_of(first: float, second: float, tie_margin: float) -> float:
    """1, 0 or, where the scores differ by at most the margin, 0.5."""
    if abs(first - second) <= tie_margin:
        return 0.5
    return 1.0 if first > second else 0.0
