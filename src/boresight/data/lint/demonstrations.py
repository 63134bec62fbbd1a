"""Narrow demonstrations: a model that learnt one kind of prompt answers every other one as if it were that kind."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from boresight.data.lint.finding import Finding, Severity
from boresight.data.lint.row import Row
from boresight.data.wording import percent

GREETING = re.compile(
    r"^\W*(?:hi|hello|hey|howdy|greetings|good (?:morning|afternoon|evening|day)|how are you|what'?s up|thanks?|"
    r"thank you|bye|goodbye|nice to meet you|who are you|what can you do|tell me a joke)\b",
    re.IGNORECASE,
)
SHORT = 8
"""Words of a greeting or of small talk at most; a task that opens with a hello is longer."""
NARROW = 0.9
ENOUGH = 50
KINDS = 64
QUESTION = re.compile(
    r"^(?:what|why|how|who|when|where|which|is|are|can|could|do|does|should|would)\b|\?\s*$", re.IGNORECASE
)


@dataclass(slots=True)
class NarrowDemonstrations:
    """Kinds are those of the records; without any, small talk, dialogues, questions and tasks are told apart."""

    total: int = 0
    small_talk: int = 0
    dialogues: int = 0
    named: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)

    def see(self, row: Row) -> None:
        if row.rejected is not None:
            return
        self.total += 1
        self.small_talk += (talk := is_small_talk(row.question, row.question_words))
        self.dialogues += (dialogue := sum(message.role == "user" for message in row.prompt) > 1)
        if row.part and (row.part in self.named or len(self.named) < KINDS):
            self.named[row.part] += 1
        question = QUESTION.search(row.question) is not None
        self.told["small talk" if talk else "dialogue" if dialogue else "question" if question else "task"] += 1

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if self.total < ENOUGH:
            return
        kinds = self.named if self.named.total() >= self.total / 2 else self.told
        most = max(kinds.values())
        shares = {name: count / self.total for name, count in kinds.most_common(8)}
        listed = ", ".join(f"{name} {percent(share)}" for name, share in shares.items())
        severity: Severity = "warning" if most >= NARROW * self.total else "note"
        yield self._finding("prompt_kinds", severity, most, f"demonstrations by kind of prompt: {listed}", shares)
        if not self.small_talk:
            message = "no demonstration answers a greeting, thanks or small talk"
            yield self._finding("no_small_talk", "warning", self.total, message, {})
        if not self.dialogues:
            message = "no demonstration has more than one turn of the user's"
            yield self._finding("no_multi_turn", "warning", self.total, message, {})

    def _finding(self, name: str, severity: Severity, count: int, message: str, shares: dict[str, float]) -> Finding:
        effect = {"shares": shares} if shares else {}
        return Finding(id=name, severity=severity, count=count, of=self.total, message=message, effect=effect)


def is_small_talk(question: str, words: Sequence[str]) -> bool:
    return len(words) <= SHORT and GREETING.match(question) is not None
