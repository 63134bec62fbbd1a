"""Filters of preference pairs: each says why it leaves a pair out, so that kept and dropped make up what was read.

A filter is a function from pairs to reasons: position -> why the pair there goes. They run one after another, each on
what the ones before it left.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from boresight.data.length_balance import excess_pairs
from boresight.data.lint.answers import is_tie
from boresight.data.lint.duplicates import Duplicates, rensa_sketch
from boresight.data.lint.row import row_of
from boresight.data.preferences import prompt_key, response_text
from boresight.errors import DataError
from boresight.records import Messages, PreferencePair

Reasons = dict[int, str]
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
    pair: PreferencePair
    reason: str


@dataclass(frozen=True, slots=True)
class Filtered:
    """Kept pairs in their order, dropped ones in the order they went."""

    kept: list[PreferencePair]
    dropped: list[Dropped]

    def counts(self) -> dict[str, int]:
        """Pairs dropped by reason."""
        return dict(Counter(item.reason for item in self.dropped))

    def then(self, reasons: Reasons) -> "Filtered":
        """The same with the pairs at these positions of `kept` dropped."""
        gone = [Dropped(self.kept[position], reason) for position, reason in sorted(reasons.items())]
        kept = [pair for position, pair in enumerate(self.kept) if position not in reasons]
        return Filtered(kept, [*self.dropped, *gone])


def filter_pairs(pairs: Iterable[PreferencePair], filters: Filters) -> Filtered:
    """All filters, the ones that judge a pair by itself first. Raises DataError where near duplicates are to go and
    rensa is not installed."""
    done = Filtered(list(pairs), [])
    if filters.ties == "drop":
        done = done.then(ties(done.kept))
    if filters.duplicates != "keep":
        done = done.then(duplicates(done.kept))
    if filters.duplicates == "drop_near":
        done = done.then(near_duplicates(done.kept))
    if filters.max_length_ratio is not None:
        done = done.then(over_length_ratio(done.kept, filters.max_length_ratio, filters.length_unit))
    if filters.max_per_prompt is not None:
        done = done.then(over_prompt_cap(done.kept, filters.max_per_prompt))
    if filters.balance_length:
        done = done.then(dict.fromkeys(excess_pairs(done.kept), "length_balance"))
    return done


def ties(pairs: Sequence[PreferencePair]) -> Reasons:
    """Pairs of which neither response was preferred."""
    return {i: "tie" for i, pair in enumerate(pairs) if is_tie(pair.p_chosen, pair.strength)}


def duplicates(pairs: Sequence[PreferencePair]) -> Reasons:
    """All but the first of the pairs whose prompt, chosen and rejected messages are the same, word for word."""
    seen: set[tuple[Messages, Messages, Messages]] = set()
    reasons: Reasons = {}
    for i, pair in enumerate(pairs):
        key = (pair.prompt, pair.chosen, pair.rejected)
        if key in seen:
            reasons[i] = "duplicate"
        seen.add(key)
    return reasons


def near_duplicates(pairs: Sequence[PreferencePair]) -> Reasons:
    """All but the first of the pairs that are the same but for small changes (`lint.duplicates` says which)."""
    sketch = rensa_sketch()
    if sketch is None:
        raise DataError(
            "near duplicates are found by rensa, which is not installed. Install it (`pip install 'boresight[data]'`), "
            "or drop exact duplicates alone."
        )
    search = Duplicates(sketch)
    for i, pair in enumerate(pairs):
        search.see(row_of(pair, i, ""))
    found = {finding.id: finding for finding in search.findings([pair.id for pair in pairs])}
    near = found.get("near_duplicate")
    return dict.fromkeys(near.rows, "near_duplicate") if near else {}


def over_length_ratio(pairs: Sequence[PreferencePair], max_ratio: float, unit: LengthUnit = "words") -> Reasons:
    """Pairs whose chosen response is more than `max_ratio` times as long as the rejected one.

    A rejected response of length 0 has no ratio: its pair goes under a reason of its own. Words are parted by white
    space, so text of a script without spaces counts as few; there characters measure better.
    """
    reasons: Reasons = {}
    for i, pair in enumerate(pairs):
        chosen, rejected = (_length(side, unit) for side in (pair.chosen, pair.rejected))
        if rejected == 0:
            reasons[i] = f"rejected_without_{unit}"
        elif chosen > max_ratio * rejected:
            reasons[i] = "length_ratio"
    return reasons


def over_prompt_cap(pairs: Sequence[PreferencePair], most: int) -> Reasons:
    """Pairs of a prompt beyond its first `most`; prompts that differ in case or white space are one."""
    taken: Counter[str] = Counter()
    reasons: Reasons = {}
    for i, pair in enumerate(pairs):
        key = prompt_key(pair.prompt)
        taken[key] += 1
        if taken[key] > most:
            reasons[i] = "prompt_cap"
    return reasons


def marked(dropped: Dropped) -> PreferencePair:
    """A dropped pair as a record that says in `meta.dropped` why it went, for the file beside the kept ones."""
    return replace(dropped.pair, meta={**dropped.pair.meta, "dropped": dropped.reason})


def _length(messages: Messages, unit: LengthUnit) -> int:
    text = response_text(messages)
    return len(text.split()) if unit == "words" else len(text)
