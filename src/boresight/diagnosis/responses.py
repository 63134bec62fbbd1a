"""The responses that a run keeps: what they look like early and late, and how that differs by kind of prompt."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

FEWEST = 24
"""Responses below which nothing is said about them."""

SMALLEST_WINDOW = 8
GRAM = 4
"""Words of the runs whose repetition counts."""

SHOWN = 3
"""Responses that a finding shows."""


class Sample(NamedTuple):
    """One response as it was logged. What a log does not tell is None, or an empty text."""

    step: int
    prompt: str
    response: str
    score: float | None = None
    tokens: int | None = None
    stopped: bool | None = None
    kind: str = ""
    rule_score: float | None = None
    """What the rules in the prompt's `expect` give; they need not be what the policy is paid by."""
    measures: tuple[tuple[str, bool], ...] = ()
    """Which of these rules hit, by name."""


class Behaviour(NamedTuple):
    """Means over the responses to one kind of prompt, early (first value) and late."""

    kind: str
    samples: int
    score: tuple[float | None, float | None]
    tokens: tuple[float | None, float | None]
    stop_share: tuple[float | None, float | None]
    repetition: tuple[float, float]
    opening: str
    """The word that most of the late responses begin with."""
    opening_share: tuple[float, float]
    reward_accuracy: tuple[float | None, float | None]
    """Share of couples of the window's responses that the score orders as the prompts' own rules do."""
    measures: dict[str, tuple[float, float]]
    """Share of the responses that hit each rule of their prompts."""


def windows(samples: Sequence[Sample], share: float = 0.2) -> tuple[Sequence[Sample], Sequence[Sample]] | None:
    """The first and the last responses, a fifth each and at least 8; None where there are fewer than 24."""
    if len(samples) < FEWEST:
        return None
    size = max(SMALLEST_WINDOW, int(len(samples) * share))
    return samples[:size], samples[-size:]


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return re.findall(r"\w+", text.lower())


def grams(text: str, size: int) -> list[str]:
    """The runs of `size` words in lower case, as texts."""
    found = words(text)
    return [" ".join(found[i : i + size]) for i in range(len(found) - size + 1)]


def repetition(text: str) -> float:
    """Share of a response's 4-grams of words that stand in it before; 0 for fewer than four words."""
    found = grams(text, GRAM)
    return 1.0 - len(set(found)) / len(found) if found else 0.0


def distinct_share(samples: Sequence[Sample], limit: int | None = None) -> tuple[float, int]:
    """Share of different pairs of words among all (distinct-2 of Li et al. 2016, arXiv:1510.03055), and how many pairs
    there are; of the first `limit` pairs alone, since the share falls with the amount of text."""
    pairs = [pair for sample in samples for pair in grams(sample.response, 2)][:limit]
    return (len(set(pairs)) / len(pairs) if pairs else 0.0), len(pairs)


def commonest(samples: Sequence[Sample]) -> tuple[str, float]:
    """The response that is given most often, but for case and blanks, and its share."""
    counts = Counter(" ".join(sample.response.lower().split()) for sample in samples)
    text, count = counts.most_common(1)[0]
    return text, count / len(samples)


def mean_of(samples: Sequence[Sample], value: Callable[[Sample], float | None]) -> float | None:
    """The mean where the log has the value."""
    found = [number for sample in samples if (number := value(sample)) is not None and math.isfinite(number)]
    return sum(found) / len(found) if found else None


def scores(samples: Sequence[Sample]) -> list[float]:
    """The score of each sample, in order; samples without one are left out."""
    return [sample.score for sample in samples if sample.score is not None and math.isfinite(sample.score)]


def welch(before: Sequence[float], after: Sequence[float]) -> float:
    """z of the difference of two means (Welch 1947), positive where it rises; 0 where there are too few values."""
    if min(len(before), len(after)) < 4:
        return 0.0
    error = math.sqrt(float(np.var(before, ddof=1)) / len(before) + float(np.var(after, ddof=1)) / len(after))
    gain = float(np.mean(after) - np.mean(before))
    return gain / error if error > 0 else math.copysign(math.inf, gain) if gain else 0.0


def by_kind(samples: Sequence[Sample]) -> list[Behaviour]:
    """What each kind of prompt gets, over the first and the last third of its responses; kinds of fewer than 8 are
    left out, and nothing is returned where the log names no kinds."""
    kinds = sorted({sample.kind for sample in samples if sample.kind})
    gathered = {kind: [sample for sample in samples if sample.kind == kind] for kind in kinds}
    return [_behaviour(kind, found) for kind, found in gathered.items() if len(found) >= SMALLEST_WINDOW]


def _behaviour(kind: str, samples: Sequence[Sample]) -> Behaviour:
    third = max(1, len(samples) // 3)
    early, late = samples[:third], samples[-third:]
    openings = Counter(first for sample in late if (first := opening(sample)))
    word = openings.most_common(1)[0][0] if openings else ""

    def both(value: Callable[[Sample], float | None]) -> tuple[float | None, float | None]:
        return mean_of(early, value), mean_of(late, value)

    return Behaviour(
        kind=kind,
        samples=len(samples),
        score=both(lambda sample: sample.score),
        tokens=both(lambda sample: sample.tokens),
        stop_share=both(lambda sample: sample.stopped),
        repetition=(_repeats(early), _repeats(late)),
        opening=word,
        opening_share=(_opened(early, word), _opened(late, word)),
        reward_accuracy=(reward_accuracy(early), reward_accuracy(late)),
        measures={
            name: (before, after)
            for name in sorted({name for sample in samples for name, _ in sample.measures})
            if (before := hit_share(early, name)) is not None and (after := hit_share(late, name)) is not None
        },
    )


def reward_accuracy(samples: Sequence[Sample]) -> float | None:
    """Of the couples of responses that the rules of their prompts tell apart, the share that the score orders likewise
    (ties as halves); None where there are fewer than 8 such couples."""
    known = [
        (sample.score, sample.rule_score)
        for sample in samples
        if sample.score is not None and sample.rule_score is not None and math.isfinite(sample.score)
    ]
    told = [
        0.5 * (1 + math.copysign(1, (a - b) * (x - y)) * (a != b))
        for place, (a, x) in enumerate(known)
        for b, y in known[:place]
        if x != y
    ]
    return sum(told) / len(told) if len(told) >= SMALLEST_WINDOW else None


def hit_share(samples: Sequence[Sample], name: str) -> float | None:
    """Share of the responses that hit a rule, of those whose prompts have it."""
    return mean_of(samples, lambda sample: dict(sample.measures).get(name))


def opening(sample: Sample) -> str:
    """The first word; empty where there is none."""
    return next(iter(words(sample.response)), "")


def _repeats(samples: Sequence[Sample]) -> float:
    return sum(repetition(sample.response) for sample in samples) / len(samples)


def _opened(samples: Sequence[Sample], word: str) -> float:
    return sum(opening(sample) == word for sample in samples) / len(samples)


def examples_of(finding: str, samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Late responses that show what a finding of the logged numbers is about; none where it is not about responses."""
    found = windows(samples)
    if found is None:
        return ()
    late = list(found[1])
    if finding in ("missing_eos", "length_explosion"):
        cut = [sample for sample in late if sample.stopped is False] if finding == "missing_eos" else late
        return tuple(sorted(cut, key=lambda sample: -(sample.tokens or len(sample.response)))[:SHOWN])
    if finding == "reward_hacking":
        paid = [sample for sample in late if sample.score is not None and math.isfinite(sample.score)]
        return tuple(sorted(paid, key=lambda sample: -(sample.score or 0.0))[:SHOWN])
    if finding == "identical_outputs":
        return tuple(sorted(late, key=lambda sample: -repetition(sample.response))[:SHOWN])
    return tuple(late[-SHOWN:]) if finding in ("entropy_collapse", "no_learning", "kl_runaway") else ()
