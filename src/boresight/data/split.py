"""Parts of preference data (train, test, …) between which no prompt leaks.

Rows belong together where their conversations begin with the same words of the user (so that no prompt, and no
beginning of a conversation, stands in two parts), and where these beginnings are near duplicates (MinHash, as in
`lint.duplicates`). A group's part follows from the seed and the words of its first row alone, so rows that are added
move no row that was there. Should an added row be near to rows of two parts, it is left aside and told, because it
would leak either way.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from boresight.data.lint.duplicates import BATCH, Sketch, near_links, rensa_sketch, shingles_of
from boresight.data.lint.row import part_of, words_of
from boresight.errors import DataError
from boresight.records import Messages, PreferencePair


@dataclass(frozen=True, slots=True)
class Split:
    """`parts` hold every row but those `aside`; `searched` is False where near duplicates could not be looked for."""

    parts: dict[str, list[PreferencePair]]
    aside: list[PreferencePair]
    groups: int
    searched: bool

    def strata(self, name_of: Callable[[PreferencePair], str] = part_of) -> dict[str, dict[str, int]]:
        """Rows of each kind (or criterion, or source; or what else `name_of` tells) by part."""
        counts = {part: Counter(name_of(pair) or "(none)" for pair in pairs) for part, pairs in self.parts.items()}
        names = sorted({name for count in counts.values() for name in count})
        return {name: {part: count[name] for part, count in counts.items()} for name in names}


@dataclass(slots=True)
class _Groups:
    """Which part each group went to; a group is known by the words that its first row began with."""

    shares: Mapping[str, float]
    seed: int
    part_of_key: dict[str, str] = field(default_factory=dict)

    def place(self, key: str, near: Sequence[str]) -> str | None:
        """The part of a row that begins with `key` and is near to rows that began with the others; None where those
        lie in several parts."""
        if key not in self.part_of_key:
            parts = {self.part_of_key[other] for other in near if other in self.part_of_key}
            if len(parts) > 1:
                return None
            self.part_of_key[key] = parts.pop() if parts else drawn_part(key, self.shares, self.seed)
        return self.part_of_key[key]


def split_pairs(pairs: Sequence[PreferencePair], shares: Mapping[str, float], seed: int) -> Split:
    """Part the rows; about `shares` of the groups go to each part, whatever their kind. Raises DataError for shares
    that do not add up to 1."""
    _check_shares(shares)
    keys = [beginning_key(pair.prompt) for pair in pairs]
    sketch = rensa_sketch()
    distinct = list(dict.fromkeys(keys))
    near = _near_beginnings(distinct, sketch)
    groups = _Groups(shares, seed)
    parts: dict[str, list[PreferencePair]] = {name: [] for name in shares}
    aside = []
    for pair, key in zip(pairs, keys, strict=True):
        part = groups.place(key, near.get(key, ()))
        if part is None:
            aside.append(pair)
        else:
            parts[part].append(pair)
    return Split(parts, aside, len(distinct), sketch is not None)


def beginning_key(prompt: Messages) -> str:
    """The words of the user's first message; of the whole prompt where no user speaks or says no word."""
    first = next((message.content for message in prompt if message.role == "user"), "")
    return " ".join(words_of(first)) or "\n".join(f"{message.role}: {message.content.strip()}" for message in prompt)


def drawn_part(key: str, shares: Mapping[str, float], seed: int) -> str:
    """The part that a hash of seed and key falls into, the last one being drawn from the low end: a part that is cut
    off in front (train) can be parted anew without moving the others."""
    drawn = int.from_bytes(hashlib.sha256(f"{seed}\n{key}".encode("utf-8", "surrogatepass")).digest()[:8]) / 2.0**64
    names = list(shares)[::-1]
    bounds = accumulate(shares[name] for name in names)
    return next((name for name, bound in zip(names, bounds, strict=True) if drawn < bound), names[-1])


def _near_beginnings(keys: Sequence[str], sketch: Sketch | None) -> dict[str, list[str]]:
    """For each key the earlier ones that it is a near duplicate of."""
    if sketch is None or not keys:
        return {}
    shingles = [shingles_of(key, key.split()) for key in keys]
    minima = np.concatenate([sketch(shingles[i : i + BATCH]) for i in range(0, len(shingles), BATCH)])
    near: dict[str, list[str]] = {}
    for one, other in near_links(minima):
        near.setdefault(keys[max(one, other)], []).append(keys[min(one, other)])
    return near


def _check_shares(shares: Mapping[str, float]) -> None:
    total = sum(shares.values())
    if len(shares) < 2 or any(not 0 < share < 1 for share in shares.values()) or abs(total - 1) > 1e-6:
        told = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise DataError(
            f"split: found the shares {told or '(none)'}, which add up to {total:g}; expected two parts or more, each "
            "above 0, that add up to 1 (train=0.9,test=0.1)."
        )
