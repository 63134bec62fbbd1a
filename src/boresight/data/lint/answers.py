"""Answers that cannot teach: equal to the other one, tied with it, empty, cut off; and refusals, counted."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from boresight.data.lint.finding import Finding, Marks, by_share, of_rows
from boresight.data.lint.row import Answer, Row
from boresight.data.wording import counted, percent

REFUSAL = re.compile(
    r"\b(?:i(?:['’]m| am) (?:sorry|afraid|unable|not able)|i (?:cannot|can['’]t|won['’]t|will not|must decline)\b)"
    r"[^.!?]{0,60}\b(?:help|assist|provide|answer|do that|comply|support|discuss|share|create|write|give|fulfill)",
    re.IGNORECASE,
)
OPENING = 200
"""Characters at the start of an answer in which a refusal stands."""
SENTENCE_ENDS = tuple(".!?…\"'”’»)]}`*_:;|>。！？」』～~✨😊")
LONG_ENOUGH = 20
"""Words from which an answer that stops without an end of sentence looks cut off."""


@dataclass(slots=True)
class IdenticalAnswers:
    """Pairs whose two answers are the same text."""

    marks: Marks = field(default_factory=Marks)

    def see(self, row: Row) -> None:
        if row.rejected is not None and row.chosen.text == row.rejected.text and row.chosen.text:
            self.marks.add(row.position)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if self.marks:
            message = f"{counted(len(self.marks), 'pair')} with the same text as chosen and as rejected"
            yield of_rows("identical_answers", "error", self.marks, ids, message)


@dataclass(slots=True)
class EmptyAnswer:
    """Records with an answer that has no characters but white space."""

    chosen: Marks = field(default_factory=Marks)
    rejected: Marks = field(default_factory=Marks)
    rows: Marks = field(default_factory=Marks)

    def see(self, row: Row) -> None:
        empty = [not answer.text for answer in row.answers()]
        if any(empty):
            self.rows.add(row.position)
            (self.chosen if empty[0] else self.rejected).add(row.position)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if self.rows:
            effect = {"chosen": len(self.chosen), "rejected": len(self.rejected)}
            message = f"answers without text: {len(self.chosen):,} chosen, {len(self.rejected):,} rejected"
            yield of_rows("empty_answer", "error", self.rows, ids, message, effect=effect)


@dataclass(slots=True)
class TruncatedAnswer:
    """The chosen answer has twenty words or more and its last sign is a letter, a digit or a comma."""

    marks: Marks = field(default_factory=Marks)

    def see(self, row: Row) -> None:
        text = row.chosen.text
        if len(row.chosen.words) >= LONG_ENOUGH and not text.endswith(SENTENCE_ENDS) and _ends_open(text):
            self.marks.add(row.position)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if self.marks:
            message = (
                f"{counted(len(self.marks), 'chosen answer')} of {LONG_ENOUGH} words or more without an end of "
                "sentence: a model learns to break off"
            )
            severity = by_share(len(self.marks), len(ids), 0.1)
            yield of_rows("truncated_answer", severity, self.marks, ids, message)


@dataclass(slots=True)
class Refusal:
    """The answer opens with a refusal. Which is right depends on the prompt, so this counts and judges little."""

    chosen_only: Marks = field(default_factory=Marks)
    rejected_only: int = 0
    chosen: int = 0
    rejected: int = 0
    pairs: int = 0

    def see(self, row: Row) -> None:
        self.pairs += row.rejected is not None
        chosen = is_refusal(row.chosen)
        rejected = row.rejected is not None and is_refusal(row.rejected)
        self.chosen += chosen
        self.rejected += rejected
        self.rejected_only += rejected and not chosen
        if chosen and not rejected:
            self.chosen_only.add(row.position)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if not self.chosen and not self.rejected:
            return
        only = f"{counted(len(self.chosen_only), 'row')} ({percent(len(self.chosen_only) / len(ids))})"
        message = (
            f"answers that open with a refusal: {self.chosen:,} chosen, {self.rejected:,} rejected; only the "
            f"chosen one does in {only}"
            if self.pairs
            else f"answers that open with a refusal: {only}"
        )
        effect = {"chosen": self.chosen, "rejected": self.rejected, "rejected_only": self.rejected_only}
        severity = by_share(len(self.chosen_only), len(ids), 0.25)
        yield of_rows("refusal", severity, self.chosen_only, ids, message, effect=effect)


@dataclass(slots=True)
class Tie:
    """The soft label says that neither answer was preferred, or the strength of the preference is 0."""

    marks: Marks = field(default_factory=Marks)

    def see(self, row: Row) -> None:
        if row.pair is not None and is_tie(row.pair.p_chosen, row.pair.strength):
            self.marks.add(row.position)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if self.marks:
            message = f"{counted(len(self.marks), 'tie')} (p_chosen 0.5 or strength 0)"
            yield of_rows("tie", by_share(len(self.marks), len(ids), 0.05), self.marks, ids, message)


def is_tie(p_chosen: float, strength: float | None) -> bool:
    """Whether nobody preferred either answer: a soft label of one half, or a strength of 0."""
    return abs(p_chosen - 0.5) < 1e-9 or strength == 0


def is_refusal(answer: Answer) -> bool:
    return REFUSAL.search(answer.text, 0, OPENING) is not None


def _ends_open(text: str) -> bool:
    return text[-1].isalnum() or text[-1] in ",-–—("
