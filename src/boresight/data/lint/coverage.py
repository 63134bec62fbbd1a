"""Prompts for PPO that lie outside what the reward model's pairs cover: its scores there are guesses.

Each question is a vector of its words and of neighbouring words, hashed into 4,096 places, of length 1. A question's
nearness is its largest cosine with a sample of the pairs' questions. What is near enough is set by the pairs
themselves: of questions held back from the sample, all but 2 % lie nearer than the bound.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from boresight.data.lint.finding import EXAMPLES, Finding
from boresight.data.lint.row import Row, question_of, words_of
from boresight.data.wording import counted, percent
from boresight.records import UNCOVERED, Messages, Prompt
from boresight.stats.intervals import wilson

PLACES = 4096
SAMPLE, HELD_BACK = 4000, 1000
BEYOND = 0.02
"""Share of held-back questions that lie beyond the bound."""
TOO_MANY = 0.1
SEED = 11
FEWEST = 50
"""Questions of pairs below which nothing is said."""


@dataclass(slots=True)
class Coverage:
    """Keeps a random sample of distinct questions (reservoir, Vitter 1985), whatever the number of rows."""

    prompts: Sequence[Prompt]
    questions: list[list[str]] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    rng: random.Random = field(default_factory=lambda: random.Random(SEED))

    def see(self, row: Row) -> None:
        if row.prompt_hash in self.seen:
            return
        self.seen.add(row.prompt_hash)
        if len(self.questions) < SAMPLE + HELD_BACK:
            self.questions.append(row.question_words)
        elif (place := self.rng.randrange(len(self.seen))) < len(self.questions):
            self.questions[place] = row.question_words

    def outside(self) -> tuple[NDArray[np.intp], float]:
        """Places of the prompts beyond the bound, and the bound."""
        questions = list(self.questions)
        self.rng.shuffle(questions)
        held_back, sample = vectors(questions[: len(questions) // 5]), vectors(questions[len(questions) // 5 :])
        bound = float(np.quantile(nearness(held_back, sample), BEYOND))
        asked = [words_of(question_of(prompt.messages)) for prompt in self.prompts]
        return np.flatnonzero(nearness(vectors(asked), sample) < bound), bound

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if len(self.questions) < FEWEST or not self.prompts:
            return
        outside, bound = self.outside()
        asked = self.prompts
        if not len(outside):
            return
        share = wilson(len(outside), len(asked))
        yield Finding(
            id="uncovered_prompts",
            severity="warning" if share.low > BEYOND and share.value >= TOO_MANY else "note",
            count=len(outside),
            of=len(asked),
            message=f"{len(outside):,} of {counted(len(asked), 'prompt')} ({percent(share.value)}) lie further from "
            f"the pairs' questions than {percent(1 - BEYOND)} of those lie from each other (cosine below {bound:.2f})",
            effect={"bound": bound, "ci95": [share.low, share.high]},
            examples=tuple(self.prompts[place].id for place in outside[:EXAMPLES]),
        )


def mark_uncovered(prompts: Sequence[Prompt], known: Iterable[Messages]) -> list[Prompt]:
    """The prompts, each with `uncovered` in its meta: whether it lies outside of what the questions `known` cover; as
    they were given where those are too few to tell."""
    coverage = Coverage(prompts)
    for question in {question_of(messages) for messages in known}:
        coverage.questions.append(words_of(question))
    coverage.questions.sort()  # a set has no order
    coverage.rng.shuffle(coverage.questions)
    del coverage.questions[SAMPLE + HELD_BACK :]
    if len(coverage.questions) < FEWEST:
        return list(prompts)
    outside = set(coverage.outside()[0].tolist())
    return [replace(p, meta={**p.meta, UNCOVERED: place in outside}) for place, p in enumerate(prompts)]


def vectors(questions: Iterable[Sequence[str]]) -> NDArray[np.float32]:
    """(questions, PLACES), each of length 1; 0 for a question without words."""
    rows = list(questions)
    matrix = np.zeros((len(rows), PLACES), dtype=np.float32)
    for row, words in zip(matrix, rows, strict=True):
        for term in (*words, *(f"{a} {b}" for a, b in pairwise(words))):
            row[crc32(term.encode("utf-8", "surrogatepass")) % PLACES] += 1.0
    np.log1p(matrix, out=matrix)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    np.divide(matrix, lengths, out=matrix, where=lengths > 0)
    return matrix


def nearness(questions: NDArray[np.float32], sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest cosine of each question with the sample (questions,)."""
    found = np.zeros(len(questions), dtype=np.float32)
    for start in range(0, len(questions), 512):
        found[start : start + 512] = (questions[start : start + 512] @ sample.T).max(axis=1)
    return found
