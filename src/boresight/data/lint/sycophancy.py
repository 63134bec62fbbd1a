"""Sycophancy: prompts that carry a premise or an opinion, and whether the answer that agrees is the one that won.

Looked at are questions that state something ("since …", "I believe …", "… right?"). An answer agrees or disagrees by
how it opens. The lint cannot know which premises are true: agreeing with a true one is right. So it compares how often
only the chosen and only the rejected answer agrees; in sound data about as many true premises are confirmed as false
ones corrected. Where the kinds tell false premises apart, those rows are held to it by themselves.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from boresight.data.lint.finding import Finding, Marks, Severity, of_rows
from boresight.data.lint.row import Answer, Row
from boresight.data.wording import percent
from boresight.stats.intervals import wilson

STATED = (
    "since|because|given that|seeing (?:that|as)|of course|obviously|perhaps",
    "(?:as )?every(?:one|body) knows|we all know|as you know|it is (?:clear|true|known) that",
    "is it (?:true|right|so|correct|the case) that|can it be that|does it hold that",
    "i take it|i (?:gather|understand) that",
    "i (?:think|believe|heard|read|know|learned|was told|am (?:sure|certain|convinced))|i'm (?:sure|certain|convinced)",
    "(?:some(?:one|body)|a (?:colleague|friend)|(?:my|our) \\w+) (?:told me|said|says)|in my (?:opinion|view)",
    "please confirm|tell me (?:whether|if)|am i right|don't you think",
)
PREMISE = re.compile(
    rf"\b(?:{'|'.join(STATED)})\b|\b(?:right|correct|isn't it|don't you agree)\?"
    r"|^as [^,?]{8,}, (?:may|can|could|should|shall|is|are|do|does)\b",
    re.IGNORECASE,
)
OPENER = re.compile(r"^(?:[^.!?`\n]{1,60}! )+")
AGREES = re.compile(
    r"^(?:yes\b|yeah\b|yep\b|right\b|correct\b|exactly\b|indeed\b|absolutely\b|of course\b|certainly\b|definitely\b|"
    r"true\b|that(?:'s| is) (?:right|true|correct)|you(?:'re| are) (?:absolutely |quite |so )?right|"
    r"i (?:fully |completely )?agree)",
    re.IGNORECASE,
)
DISAGREES = re.compile(
    r"^(?:no\b|nope\b|not (?:quite|really|exactly|true)|actually\b|in fact\b|that(?:'s| is) (?:not|false|wrong|a myth)|"
    r"unfortunately\b|i (?:disagree|don't (?:think|agree|believe))|this is (?:not|false|wrong)|on the contrary)",
    re.IGNORECASE,
)
FALSE_KIND = re.compile("false|myth|misconception|sycophan|wrong", re.IGNORECASE)
ENOUGH = 10


@dataclass(slots=True)
class Balance:
    """Pairs of which one answer agrees and the other does not."""

    chosen: Marks = field(default_factory=Marks)
    rejected: int = 0

    @property
    def both(self) -> int:
        return len(self.chosen) + self.rejected

    def is_one_sided(self) -> bool:
        return self.both >= ENOUGH and wilson(len(self.chosen), self.both).low > 0.5


@dataclass(slots=True)
class Sycophancy:
    """Pairs in which the answer that agrees with what the user claims was chosen."""

    prompts: int = 0
    false_kinds: Balance = field(default_factory=Balance)
    everything: Balance = field(default_factory=Balance)

    def see(self, row: Row) -> None:
        if row.rejected is None or not states_something(row.question):
            return
        self.prompts += 1
        chosen, rejected = agrees(row.chosen), agrees(row.rejected)
        if chosen == rejected:
            return
        for balance in (self.everything, self.false_kinds) if FALSE_KIND.search(row.part) else (self.everything,):
            if chosen is True and rejected is not True:
                balance.chosen.add(row.position)
            elif rejected is True:
                balance.rejected += 1

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        known = self.false_kinds.both >= ENOUGH
        balance = self.false_kinds if known else self.everything
        both = balance.both
        if not both:
            return
        share = wilson(len(balance.chosen), both)
        where = "with a false premise, by their kind" if known else "with a premise or an opinion"
        message = (
            f"{self.prompts:,} prompts state something; of {both:,} pairs {where}, in which one answer agrees, the "
            f"chosen one is that answer in {percent(share.value)} ({100 * share.low:.1f}–{100 * share.high:.1f}%)"
        )
        effect = {
            "prompts": self.prompts, "chosen_agrees": len(balance.chosen), "rejected_agrees": balance.rejected,
            "ci95": [share.low, share.high], "false_premises_known": known,
        }  # fmt: skip
        severity: Severity = "warning" if balance.is_one_sided() else "note"
        yield of_rows("sycophancy", severity, balance.chosen, ids, message, of=both, effect=effect)


def states_something(question: str) -> bool:
    return PREMISE.search(question) is not None


def agrees(answer: Answer) -> bool | None:
    """How an answer opens: True, False, or None where it does neither; what is exclaimed first is passed over."""
    text = answer.text
    if found := OPENER.match(text):
        text = text[found.end() :]
    if AGREES.match(text):
        return True
    return False if DISAGREES.match(text) else None
