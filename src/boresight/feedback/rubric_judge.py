"""A language model as judge: each criterion of a rubric asked apart, read for its verdict, combined by weight."""

import math
from collections.abc import Sequence
from typing import Any

from boresight.feedback.chat_endpoint import Reply, quoted
from boresight.feedback.judge import Comparison, Verdict
from boresight.feedback.judge_client import Estimate, JudgeClient, Outcome, Question
from boresight.feedback.rubric import Rubric, judge_messages
from boresight.feedback.verdicts import parse_verdict

UNREADABLE, CUT_OFF = "unreadable", "cut_off"


class RubricJudge:
    """`samples`: replies to each question; with more than one, and a temperature above 0, their mean is a soft verdict.

    A comparison fails where some criterion has no readable reply; why is counted by kind, and never becomes a tie.
    """

    def __init__(self, client: JudgeClient, rubric: Rubric, samples: int = 1) -> None:
        self.client, self.rubric, self.samples = client, rubric, samples
        self.unreadable_replies = 0
        """Replies in which no verdict could be read, whatever became of their comparison."""
        self.examples: dict[str, str] = {}
        """One reason for each kind of failure, as it was told."""

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        outcomes = self.client.ask(self._questions(comparisons))
        size = len(outcomes) // len(comparisons) if comparisons else 0
        return [self._verdict(outcomes[i * size : (i + 1) * size]) for i in range(len(comparisons))]

    def estimate(self, comparisons: Sequence[Comparison]) -> Estimate:
        """What `compare` would cost. Asks nothing."""
        return self.client.estimate(self._questions(comparisons))

    def identity(self) -> dict[str, Any]:
        """Which judge gave a label: what stands beside it."""
        return {"judge": self.client.endpoint.model, "rubric": self.rubric.name, "rubric_hash": self.rubric.hash}

    def _questions(self, comparisons: Sequence[Comparison]) -> list[Question]:
        return [
            Question(judge_messages(criterion, comparison), sample)
            for comparison in comparisons
            for criterion in self.rubric.criteria
            for sample in range(self.samples)
        ]

    def _verdict(self, outcomes: Sequence[Outcome]) -> Verdict:
        means: dict[str, float] = {}
        for place, criterion in enumerate(self.rubric.criteria):
            values: list[float] = []
            kind = ""
            for outcome in outcomes[place * self.samples : (place + 1) * self.samples]:
                value, fault = self._read(outcome)
                kind = kind or fault
                if value is not None:
                    values.append(value)
            if not values:
                return Verdict(math.nan, failure=kind)
            means[criterion.name] = math.fsum(values) / len(values)
        return Verdict(self.rubric.combine(means))

    def _read(self, outcome: Outcome) -> tuple[float | None, str]:
        """The value of a reply, or the kind of its failure."""
        if not isinstance(outcome, Reply):
            self.examples.setdefault(outcome.kind, outcome.reason)
            return None, outcome.kind
        value = parse_verdict(outcome.text)
        if value is not None:
            return value, ""
        self.unreadable_replies += 1
        kind = CUT_OFF if outcome.finish_reason == "length" else UNREADABLE
        self.examples.setdefault(kind, f"no verdict in the reply {quoted(outcome.text)}")
        return None, kind
