"""Preference pairs as a set: joined, one spelling for equal prompts, and lengths counted."""

import math
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace

from boresight.errors import DataError
from boresight.records import Messages, PreferencePair


def join_pairs(sources: Iterable[Iterable[PreferencePair]]) -> Iterator[PreferencePair]:
    """All pairs in order, with ids that name one pair each (see `with_own_ids`)."""
    taken: set[str] = set()
    for number, pairs in enumerate(sources, start=1):
        yield from with_own_ids(pairs, number, taken)


def with_own_ids(pairs: Iterable[PreferencePair], number: int, taken: set[str]) -> Iterator[PreferencePair]:
    """The pairs of the source of that number. An id that is taken already gets the number after it (`pairs:2` of the
    second source becomes `pairs:2@2`)."""
    for pair in pairs:
        name = pair.id
        while name in taken:
            name += f"@{number}"
        taken.add(name)
        yield pair if name == pair.id else replace(pair, id=name)


def pair_weight(pair: PreferencePair) -> float:
    """What `meta.weight` says of the pair, 1 where it says nothing. Raises DataError for what cannot weigh a loss."""
    weight = pair.meta.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0.0 <= weight < math.inf:
        raise DataError(
            f"pair {pair.id!r}: meta.weight is {weight!r}; expected a number from 0 on. Correct the record, or set "
            "pair_weights: false."
        )
    return float(weight)


def prompt_key(prompt: Messages) -> str:
    """One spelling for prompts that read the same: compatible characters, case and white space made equal."""
    return "\n".join(
        f"{m.role}: {' '.join(unicodedata.normalize('NFKC', m.content).casefold().split())}" for m in prompt
    )


def length_counts(pairs: Iterable[PreferencePair]) -> tuple[int, int, int]:
    """Pairs whose chosen response is longer, shorter, equally long, in characters (white space at the ends aside)."""
    longer = shorter = equal = 0
    for pair in pairs:
        chosen, rejected = (len(response_text(side)) for side in (pair.chosen, pair.rejected))
        longer += chosen > rejected
        shorter += chosen < rejected
        equal += chosen == rejected
    return longer, shorter, equal


def longer_share(pairs: Iterable[PreferencePair]) -> float | None:
    """Share of pairs whose chosen response is the longer one, equally long ones left aside; None without any."""
    longer, shorter, _ = length_counts(pairs)
    return longer / (longer + shorter) if longer + shorter else None


def response_text(messages: Messages) -> str:
    """What the assistant says last, without white space at the ends."""
    return messages[-1].content.strip()
