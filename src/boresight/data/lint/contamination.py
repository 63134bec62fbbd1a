"""Evaluation prompts in the training data: who trained on the question has not been tested by it.

A row is contaminated where its question is an evaluation question (case, white space and compatible characters aside),
or where at least half of its runs of eight words stand in evaluation questions.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from boresight.data.lint.finding import Finding, Marks, of_rows
from boresight.data.lint.row import Row, fingerprint, question_of, words_of
from boresight.records import Prompt

RUN = 8


@dataclass(slots=True)
class Contamination:
    """`questions` and `runs` are fingerprints made by `contamination_by`."""

    questions: frozenset[int]
    runs: frozenset[int]
    exact: int = 0
    marks: Marks = field(default_factory=Marks)

    def see(self, row: Row) -> None:
        if fingerprint(*row.question_words) in self.questions:
            self.exact += 1
            self.marks.add(row.position)
            return
        runs = runs_of(row.question_words)
        if runs and 2 * sum(run in self.runs for run in runs) >= len(runs):
            self.marks.add(row.position)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if self.marks:
            near = len(self.marks) - self.exact
            message = (
                f"rows that ask an evaluation question word for word: {self.exact:,}, that share most of one: {near:,}"
            )
            effect = {"exact": self.exact, "near": near, "evaluation_questions": len(self.questions)}
            yield of_rows("contamination", "warning", self.marks, ids, message, effect=effect)


def contamination_by(prompts: Iterable[Prompt]) -> Contamination:
    """The check against these evaluation prompts. One-word questions are left aside: everybody greets alike."""
    questions: set[int] = set()
    runs: set[int] = set()
    for prompt in prompts:
        words = words_of(question_of(prompt.messages))
        if len(words) > 2:
            questions.add(fingerprint(*words))
        runs.update(runs_of(words))
    return Contamination(frozenset(questions), frozenset(runs))


def runs_of(words: Sequence[str]) -> list[int]:
    """A hash of each run of words of the set length, in order."""
    return [fingerprint(*words[i : i + RUN]) for i in range(len(words) - RUN + 1)]
