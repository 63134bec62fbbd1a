"""Filters of preference pairs: each says why it leaves a pair out, so that kept and dropped make up what was read.

A filter sees every pair once and keeps numbers of it, never its text; then it says which pairs go, of those that the
filters before it have left. So a file can be filtered that is larger than memory.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Protocol

import numpy as np

from boresight.data.length_balance import LengthGaps, Positions
from boresight.data.lint.answers import is_tie
from boresight.data.lint.duplicates import Minima, minima_by_rensa, near_groups, shingles
from boresight.data.lint.row import fingerprint, row_of
from boresight.data.preferences import prompt_key, response_text
from boresight.errors import DataError
from boresight.records import Messages, PreferencePair

Reasons = dict[int, str]
"""Position of a pair -> why it goes."""

LengthUnit = Literal["words", "characters"]
DuplicateChoice = Literal["keep", "drop", "drop_near"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What to leave out; the defaults leave out nothing."""

    max_length_ratio: float | None = None
    length_unit: LengthUnit = "words"
    duplicates: DuplicateChoice = "keep"
    ties: Literal["keep", "drop"] = "keep"
    max_per_prompt: int | None = None
    balance_length: bool = False


class Dropped(NamedTuple):
    """A record that was left out, and why."""

    pair: PreferencePair
    reason: str


@dataclass(frozen=True, slots=True)
class Filtered:
    """Pairs that stay and pairs that go, both in their order."""

    kept: list[PreferencePair]
    dropped: list[Dropped]

    def counts(self) -> dict[str, int]:
        """Pairs dropped by reason."""
        return dict(Counter(item.reason for item in self.dropped))


class Filter(Protocol):
    def see(self, pair: PreferencePair) -> None:
        """Note what the filter needs to know of the next pair."""

    def reasons(self, left: Positions) -> Reasons:
        """Which of these pairs go."""


def filter_pairs(pairs: Iterable[PreferencePair], filters: Filters) -> Filtered:
    """All filters on pairs that are held in memory. Raises DataError as `drop_reasons` does."""
    pairs = list(pairs)
    reasons = drop_reasons(pairs, filters)
    kept = [pair for position, pair in enumerate(pairs) if position not in reasons]
    return Filtered(kept, [Dropped(pairs[position], reasons[position]) for position in sorted(reasons)])


def drop_reasons(pairs: Iterable[PreferencePair], filters: Filters) -> Reasons:
    """Why which pairs go, each for the first reason that holds; the pairs are gone through once.

    Raises DataError where near duplicates are to go and rensa is not installed.
    """
    chain = filters_of(filters)
    count = 0
    for pair in pairs:
        count += 1
        for item in chain:
            item.see(pair)
    left, gone = np.arange(count), Reasons()
    for item in chain:
        found = item.reasons(left)
        gone |= found
        left = left[~np.isin(left, list(found))]
    return gone


def filters_of(filters: Filters) -> list[Filter]:
    """The filters that are asked for, the ones that judge a pair by itself first."""
    chain: list[Filter] = []
    if filters.ties == "drop":
        chain.append(Ties())
    if filters.duplicates != "keep":
        chain.append(Repetitions())
    if filters.duplicates == "drop_near":
        chain.append(NearRepetitions(_minima()))
    if filters.max_length_ratio is not None:
        chain.append(LengthRatio(filters.max_length_ratio, filters.length_unit))
    if filters.max_per_prompt is not None:
        chain.append(PromptCap(filters.max_per_prompt))
    if filters.balance_length:
        chain.append(LengthBalance())
    return chain


@dataclass(slots=True)
class Ties:
    """Pairs of which neither response was preferred."""

    ties: "array[int]" = field(default_factory=lambda: array("b"))

    def see(self, pair: PreferencePair) -> None:
        self.ties.append(is_tie(pair.p_chosen, pair.strength))

    def reasons(self, left: Positions) -> Reasons:
        return {i: "tie" for i in left.tolist() if self.ties[i]}


@dataclass(slots=True)
class Repetitions:
    """All but the first of the pairs whose prompt, chosen and rejected messages are the same, word for word (as told by
    64 bits of a hash)."""

    hashes: "array[int]" = field(default_factory=lambda: array("Q"))

    def see(self, pair: PreferencePair) -> None:
        sides = (pair.prompt, pair.chosen, pair.rejected)
        self.hashes.append(fingerprint(*("\x1d".join(f"{m.role}\x1e{m.content}" for m in side) for side in sides)))

    def reasons(self, left: Positions) -> Reasons:
        return {i: "duplicate" for i in _beyond(1, left, self.hashes)}


@dataclass(slots=True)
class NearRepetitions:
    """All but the first of the pairs that are the same but for small changes (`lint.duplicates` says which)."""

    minima: Minima

    def see(self, pair: PreferencePair) -> None:
        self.minima.add(shingles(row_of(pair, 0, "")))

    def reasons(self, left: Positions) -> Reasons:
        later = near_groups(self.minima.all()[left]) != np.arange(len(left))
        return dict.fromkeys(left[later].tolist(), "near_duplicate")


@dataclass(slots=True)
class LengthRatio:
    """Pairs whose chosen response is more than `most` times as long as the rejected one.

    A rejected response of length 0 has no ratio: its pair goes under a reason of its own. Words are parted by white
    space, so text of a script without spaces counts as few; there characters measure better.
    """

    most: float
    unit: LengthUnit = "words"
    chosen: "array[int]" = field(default_factory=lambda: array("q"))
    rejected: "array[int]" = field(default_factory=lambda: array("q"))

    def see(self, pair: PreferencePair) -> None:
        self.chosen.append(_length(pair.chosen, self.unit))
        self.rejected.append(_length(pair.rejected, self.unit))

    def reasons(self, left: Positions) -> Reasons:
        return {
            i: "length_ratio" if self.rejected[i] else f"rejected_without_{self.unit}"
            for i in left.tolist()
            if not self.rejected[i] or self.chosen[i] > self.most * self.rejected[i]
        }


@dataclass(slots=True)
class PromptCap:
    """Pairs of a prompt beyond its first `most`; prompts that differ in case or white space are one."""

    most: int
    prompts: "array[int]" = field(default_factory=lambda: array("Q"))

    def see(self, pair: PreferencePair) -> None:
        self.prompts.append(fingerprint(prompt_key(pair.prompt)))

    def reasons(self, left: Positions) -> Reasons:
        return {i: "prompt_cap" for i in _beyond(self.most, left, self.prompts)}


@dataclass(slots=True)
class LengthBalance:
    """Pairs to leave out so that length alone tells nothing (see `length_balance`)."""

    lengths: LengthGaps = field(default_factory=LengthGaps)

    def see(self, pair: PreferencePair) -> None:
        self.lengths.see(pair)

    def reasons(self, left: Positions) -> Reasons:
        return dict.fromkeys(self.lengths.excess(left), "length_balance")


def marked(dropped: Dropped) -> PreferencePair:
    """A dropped pair as a record that says in `meta.dropped` why it went, for the file beside the kept ones."""
    return replace(dropped.pair, meta={**dropped.pair.meta, "dropped": dropped.reason})


def _beyond(most: int, left: Positions, values: Sequence[int]) -> list[int]:
    """Positions whose value stands at `most` earlier ones already."""
    met: Counter[int] = Counter()
    beyond = []
    for position in left.tolist():
        met[values[position]] += 1
        if met[values[position]] > most:
            beyond.append(position)
    return beyond


def _minima() -> Minima:
    minima = minima_by_rensa()
    if minima is None:
        raise DataError(
            "near duplicates are found by rensa, which is not installed. Install it (`pip install 'boresight[data]'`), "
            "or drop exact duplicates alone."
        )
    return minima


def _length(messages: Messages, unit: LengthUnit) -> int:
    text = response_text(messages)
    return len(text.split()) if unit == "words" else len(text)
