"""Rejected answers that do not answer the prompt: noise teaches nothing, near misses teach.

Measure: the words of question and answers, the commonest of English left out. A rejected answer is off-topic where the
chosen one takes up at least two words and a third of the question's, and the rejected one takes up no word of the whole
prompt nor of the chosen answer, words aside that stand in more than a tenth of all answers so far: that two answers
about Kubernetes both say "pod" makes neither an answer to the question. People's answers do that too: up to 4.4 % of
HH-RLHF, which is why fewer than 5 % are a note. How near the rejected answers lie to their questions is told beside
that: in how many pairs the rejected answer shares more words with its own question than the rejected answer of the row
before shares with it (a half of the ties counted; 50 % is what random answers reach, 100 % what answers to the point
reach).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from boresight.data.lint.finding import Finding, Marks, Severity, by_share, of_rows
from boresight.data.lint.row import Row, words_of
from boresight.data.wording import percent

COMMON_WORDS = """
a about all also am an and any are as at be been but by can could did do does for from get go had has have he her
hello hey hi him his how i if in into is it its just know let like many may me more most much my no not now of on
one only or other our out over please s she should so some such sure t than thank thanks that the their them then
there these they this to too up us use very want was way we well were what when where which who why will with would
yes you your m re ve ll d don doesn didn isn
"""
COMMON = frozenset(COMMON_WORDS.split())
MANY = 0.05
TAKEN_UP, TAKEN_UP_SHARE = 2, 1 / 3
"""Words of the question, and share of them, from which the chosen answer counts as taking it up."""


FREQUENT = 0.1  # share of answers from which a word tells them apart no more
SETTLED = 50  # answers after which that share is asked for
MOST_WORDS = 100_000  # kept at once; beyond them those met once are forgotten


@dataclass(slots=True)
class WordCounts:
    """In how many answers each word has stood so far."""

    answers: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, words: frozenset[str]) -> None:
        self.answers += 1
        self.counts.update(words)
        if len(self.counts) > MOST_WORDS:
            self.counts = Counter({word: count for word, count in self.counts.items() if count > 1})

    def telling(self, words: frozenset[str]) -> frozenset[str]:
        """The words without those that stand in so many answers that they tell nothing."""
        if self.answers < SETTLED:
            return words
        return frozenset(word for word in words if self.counts[word] <= FREQUENT * self.answers)


@dataclass(slots=True)
class OffTopic:
    """Rejected answers that belong to another question, found by comparing with other rows."""

    marks: Marks = field(default_factory=Marks)
    known: WordCounts = field(default_factory=WordCounts)
    comparable: int = 0
    nearer: float = 0.0
    before: frozenset[str] | None = None

    def see(self, row: Row) -> None:
        if row.rejected is None:
            return
        question = set(row.question_words) - COMMON
        chosen, rejected = set(row.chosen.words) - COMMON, frozenset(set(row.rejected.words) - COMMON)
        if question and rejected:
            self._compare(question, rejected)
        self.before = rejected
        self.known.add(frozenset(chosen))
        self.known.add(rejected)
        telling = self.known.telling(rejected)
        if is_off_topic(question, chosen, telling) and not telling & _words_before(row):
            self.marks.add(row.position)

    def _compare(self, question: set[str], rejected: frozenset[str]) -> None:
        if self.before:
            self.comparable += 1
            own = len(question & rejected) / len(rejected)
            other = len(question & self.before) / len(self.before)
            self.nearer += 1.0 if own > other else 0.5 if own == other else 0.0

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        nearer = self.nearer / self.comparable if self.comparable else None
        random = nearer is not None and self.comparable >= 100 and nearer < 0.6
        if not self.marks and not random:
            return
        told = (
            "" if nearer is None else f"; against the row before, {percent(nearer)} of them fit their question better"
        )
        message = f"{len(self.marks):,} rejected answers share no word with the prompt nor with the chosen answer{told}"
        severity: Severity = "warning" if random else by_share(len(self.marks), len(ids), MANY)
        yield of_rows("off_topic_rejected", severity, self.marks, ids, message, effect={"nearer_than_random": nearer})


def is_off_topic(question: set[str], chosen: set[str], rejected: frozenset[str]) -> bool:
    """Whether the rejected answer shares nothing with a question that the chosen one takes up, nor with that one."""
    taken_up = len(question & chosen)
    if not rejected or taken_up < max(TAKEN_UP, TAKEN_UP_SHARE * len(question)):
        return False
    return not rejected & question and not rejected & chosen


def _words_before(row: Row) -> set[str]:
    return {word for message in row.prompt[:-1] for word in words_of(message.content)}
