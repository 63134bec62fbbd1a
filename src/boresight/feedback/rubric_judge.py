"""A language model as judge: each criterion of a rubric asked apart, read for its answer, combined by weight."""

import math
from collections.abc import Sequence
from typing import Any

from boresight.feedback.asker import Asker
from boresight.feedback.chat_endpoint import Reply, quoted
from boresight.feedback.judge import Answer, Comparison, Verdict
from boresight.feedback.judge_client import Estimate, Outcome, Question
from boresight.feedback.rubric import Rubric, judge_messages, score_messages
from boresight.feedback.verdicts import SCORE, VERDICT
from boresight.records import Prompt

UNREADABLE, CUT_OFF = "unreadable", "cut_off"


class RubricJudge:
    """`samples`: replies to each question; with more than one, and a temperature above 0, their mean is a soft verdict.
    `direct`: the answer is wanted at once, without a reason, as the log-probabilities of its tokens are read.

    A comparison fails where some criterion has no readable reply; why is counted by kind, and never becomes a tie.
    """

    def __init__(self, client: Asker, rubric: Rubric, samples: int = 1, *, direct: bool = False) -> None:
        self.client, self.rubric, self.samples, self.direct = client, rubric, samples, direct
        self.unreadable_replies = 0
        """Replies in which no answer could be read, whatever became of their comparison."""
        self.examples: dict[str, str] = {}
        """One reason for each kind of failure, as it was told."""
        self._masses: list[float] = []

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """Verdicts from 0 to 1, soft where samples differ or log-probabilities are known."""
        return [Verdict(value, failure=kind) for value, kind in self._combined(self.questions(comparisons))]

    def score(self, shown: Sequence[tuple[Prompt, Answer]]) -> list[tuple[float, str]]:
        """(score, why there is none) of single responses: 1 (worst) to 9 (best) by each criterion, combined by weight;
        NaN where a criterion has no readable score."""
        return self._combined(self.score_questions(shown))

    def score_questions(self, shown: Sequence[tuple[Prompt, Answer]]) -> list[Question]:
        """What `score` asks."""
        return [
            Question(score_messages(criterion, prompt, answer, direct=self.direct), sample, SCORE)
            for prompt, answer in shown
            for criterion in self.rubric.criteria
            for sample in range(self.samples)
        ]

    def estimate(self, comparisons: Sequence[Comparison]) -> Estimate:
        """What `compare` would cost. Asks nothing."""
        return self.client.estimate(self.questions(comparisons))

    def identity(self) -> dict[str, Any]:
        """Which judge gave a label: what stands beside it."""
        return {"judge": self.client.name, "rubric": self.rubric.name, "rubric_hash": self.rubric.hash}

    def account(self) -> dict[str, Any]:
        """What the judge was asked, what it cost, and what could not be read; `answer_mass` is how much probability the
        answers had of all that it could have written, where that is known."""
        ledger, masses = self.client.ledger, self._masses
        return {
            "failure_examples": dict(sorted(self.examples.items())),
            "unreadable_replies": self.unreadable_replies,
            "base_url": self.client.address,
            "answer_mass": math.fsum(masses) / len(masses) if masses else None,
            "cost": {
                "asked": ledger.asked,
                "known_before": ledger.known,
                "prompt_tokens": ledger.prompt_tokens,
                "completion_tokens": ledger.completion_tokens,
                "replies_with_estimated_tokens": ledger.estimated_counts,
                "usd": self.client.cost(),
            },
        }

    def questions(self, comparisons: Sequence[Comparison]) -> list[Question]:
        """What `compare` asks."""
        return [
            Question(judge_messages(criterion, comparison, direct=self.direct), sample, VERDICT)
            for comparison in comparisons
            for criterion in self.rubric.criteria
            for sample in range(self.samples)
        ]

    def _combined(self, questions: Sequence[Question]) -> list[tuple[float, str]]:
        """One value for every criteria x samples questions, or NaN and the kind of the failure."""
        size = len(self.rubric.criteria) * self.samples
        read = [
            self._read(outcome, question)
            for outcome, question in zip(self.client.ask(questions), questions, strict=True)
        ]
        return [self._of_one(read[start : start + size]) for start in range(0, len(read), size)]

    def _of_one(self, read: Sequence[tuple[float | None, str]]) -> tuple[float, str]:
        means: dict[str, float] = {}
        for place, criterion in enumerate(self.rubric.criteria):
            replies = read[place * self.samples : (place + 1) * self.samples]
            values = [value for value, _ in replies if value is not None]
            if not values:
                return math.nan, replies[0][1]
            means[criterion.name] = math.fsum(values) / len(values)
        return self.rubric.combine(means), ""

    def _read(self, outcome: Outcome, question: Question) -> tuple[float | None, str]:
        """The value of a reply, or the kind of its failure."""
        assert question.form is not None
        if not isinstance(outcome, Reply):
            self.examples.setdefault(outcome.kind, outcome.reason)
            return None, outcome.kind
        if outcome.expected is not None:
            self._masses.append(outcome.mass or 0.0)
            return outcome.expected, ""
        value = question.form.read(outcome.text)
        if value is not None:
            return value, ""
        self.unreadable_replies += 1
        kind = CUT_OFF if outcome.finish_reason == "length" else UNREADABLE
        self.examples.setdefault(kind, f"no {question.form.key} in the reply {quoted(outcome.text)}")
        return None, kind
