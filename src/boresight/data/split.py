"""Parts of preference data (train, test, …) between which no prompt leaks.

Rows belong together where their conversations begin with the same message of the user, so that no prompt, and no
beginning of a conversation, stands in two parts. By `paraphrases` they also belong together where that message has the
same words but for their order and the commonest of English, and where the message, or all that the user says, is a near
duplicate (MinHash, as in `lint.duplicates`).

A group's part follows from the seed and its own words, so rows that are added move no row that was there: what is near
to an earlier row follows it. Should a row be near to rows of two parts, it is left aside and told, because it would
leak either way. By `beginnings` there are no such rows, and the order of the rows does not matter.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from boresight.data.lint.duplicates import Minima, minima_by_rensa, near_links, shingles_of
from boresight.data.lint.relevance import COMMON
from boresight.data.lint.row import fingerprint, part_of, words_of
from boresight.data.preferences import prompt_key
from boresight.errors import DataError
from boresight.records import Messages, PreferencePair

Groups = Literal["beginnings", "paraphrases"]


@dataclass(frozen=True, slots=True)
class Placement:
    """The part of each row, in their order; None for a row that is near to rows of two parts. `searched` is False where
    near duplicates should have been looked for and could not be."""

    parts: Sequence[str | None]
    groups: int
    searched: bool


@dataclass(frozen=True, slots=True)
class Split:
    """`parts` hold every row but those `aside`."""

    parts: dict[str, list[PreferencePair]]
    aside: list[PreferencePair]
    placement: Placement

    def strata(self, name_of: Callable[[PreferencePair], str] = part_of) -> dict[str, dict[str, int]]:
        """Rows of each kind (or criterion, or source; or what else `name_of` tells) by part."""
        return strata({part: Counter(map(name_of, pairs)) for part, pairs in self.parts.items()})


def split_pairs(
    pairs: Sequence[PreferencePair], shares: Mapping[str, float], seed: int, groups: Groups = "paraphrases"
) -> Split:
    """Part rows that are held in memory, as `place` says."""
    placement = place((pair.prompt for pair in pairs), shares, seed, groups)
    parts: dict[str, list[PreferencePair]] = {name: [] for name in shares}
    aside: list[PreferencePair] = []
    for pair, part in zip(pairs, placement.parts, strict=True):
        (aside if part is None else parts[part]).append(pair)
    return Split(parts, aside, placement)


def hold_out(pairs: Sequence[PreferencePair], fraction: float, seed: int, groups: Groups = "beginnings") -> Split:
    """The parts `train` and `held_out` of rows that a run trains on and certifies its reward model with. Raises
    DataError where paraphrases are asked for and cannot be looked for: what is held out may not hang on that."""
    split = split_pairs(pairs, {"train": 1.0 - fraction, "held_out": fraction}, seed, groups)
    if not split.placement.searched:
        raise DataError(
            "paraphrases are found with rensa, which is not installed. Install it (`pip install 'boresight[data]'`), "
            "or hold out by beginnings alone (`held_out_groups: beginnings`)."
        )
    return split


def place(
    prompts: Iterable[Messages], shares: Mapping[str, float], seed: int, groups: Groups = "paraphrases"
) -> Placement:
    """Where the row of each prompt goes; about `shares` of the groups go to each part, whatever their kind.

    The prompts are gone through once. Of each a hundred bytes are kept, by paraphrases a kilobyte, but never its text.
    Raises DataError for shares that do not add up to 1.
    """
    _check_shares(shares)
    met = _Groups(shares, seed)
    if groups == "beginnings":
        placed = [met.drawn[met.number(beginning_key(prompt))] for prompt in prompts]
        return Placement(placed, len(met.drawn), searched=True)
    near = _NearPrompts(minima_by_rensa())
    numbers = array("q")
    for prompt in prompts:
        numbers.append(met.number(paraphrase_key(prompt)))
        near.see(prompt, numbers[-1])
    return Placement(_parts(met, near, numbers), len(met.drawn), searched=near.minima is not None)


def strata(rows: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Rows by part and stratum, turned into rows by stratum and part."""
    names = sorted({name for counts in rows.values() for name in counts})
    return {name or "(none)": {part: counts.get(name, 0) for part, counts in rows.items()} for name in names}


def beginning_key(prompt: Messages) -> str:
    """What the user says first, in one spelling for case and white space; the whole prompt where no user speaks."""
    return prompt_key(_beginning(prompt))


def paraphrase_key(prompt: Messages) -> str:
    """The words of what the user says first, in alphabetical order and without the commonest of English; where there
    are no others, all words as they stand, and where there is no word, the beginning as it is."""
    words = [word for message in _beginning(prompt) for word in words_of(message.content)]
    return " ".join(sorted(set(words) - COMMON)) or " ".join(words) or beginning_key(prompt)


def drawn_part(key: str, shares: Mapping[str, float], seed: int) -> str:
    """The part that a hash of seed and key falls into, the last one being drawn from the low end: a part that is cut
    off in front (train) can be parted anew without moving the others."""
    drawn = int.from_bytes(hashlib.sha256(f"{seed}\n{key}".encode("utf-8", "surrogatepass")).digest()[:8]) / 2.0**64
    names = list(shares)[::-1]
    bounds = accumulate(shares[name] for name in names)
    return next((name for name, bound in zip(names, bounds, strict=True) if drawn < bound), names[-1])


@dataclass(slots=True)
class _Groups:
    """Groups met so far, numbered, each with the part that is drawn for it."""

    shares: Mapping[str, float]
    seed: int
    drawn: list[str] = field(default_factory=list)
    _numbers: dict[int, int] = field(default_factory=dict)

    def number(self, key: str) -> int:
        number = self._numbers.setdefault(fingerprint(key), len(self.drawn))
        if number == len(self.drawn):
            self.drawn.append(drawn_part(key, self.shares, self.seed))
        return number


@dataclass(slots=True)
class _NearPrompts:
    """What near duplicates are looked for among: of each row what the user says first, and all that the user says.
    Equal texts of one group are looked at once. `minima` is None where there is nothing to look with."""

    minima: Minima | None
    group_of_text: "array[int]" = field(default_factory=lambda: array("q"))
    first: "array[int]" = field(default_factory=lambda: array("q"))
    whole: "array[int]" = field(default_factory=lambda: array("q"))
    _numbers: dict[int, int] = field(default_factory=dict)

    def see(self, prompt: Messages, group: int) -> None:
        if self.minima is not None:
            self.first.append(self._number(_beginning(prompt), group))
            self.whole.append(self._number(_said(prompt), group))

    def groups_near(self) -> dict[int, set[int]]:
        """For a text the groups of the earlier texts that it is a near duplicate of."""
        near: dict[int, set[int]] = {}
        if self.minima is not None:
            for one, other in near_links(self.minima.all()):
                near.setdefault(max(one, other), set()).add(self.group_of_text[min(one, other)])
        return near

    def _number(self, messages: Messages, group: int) -> int:
        assert self.minima is not None
        text = "\n".join(message.content for message in messages)
        words = words_of(text)
        number = self._numbers.setdefault(fingerprint(str(group), *words), len(self.group_of_text))
        if number == len(self.group_of_text):
            self.group_of_text.append(group)
            self.minima.add(shingles_of(text, words))
        return number


def _parts(groups: _Groups, near: _NearPrompts, numbers: Sequence[int]) -> list[str | None]:
    """The part of each row, one after the other: that of its group, or else of the groups it is near to."""
    groups_near = near.groups_near()
    part_of_group: list[str | None] = [None] * len(groups.drawn)
    parts: list[str | None] = []
    for row, group in enumerate(numbers):
        others = {group}
        if near.minima is not None:
            others = others.union(*(groups_near.get(text, ()) for text in (near.first[row], near.whole[row])))
        found = {part for other in others if (part := part_of_group[other]) is not None}
        if len(found) > 1:
            parts.append(None)
        else:
            part_of_group[group] = found.pop() if found else groups.drawn[group]
            parts.append(part_of_group[group])
    return parts


def _beginning(prompt: Messages) -> Messages:
    """The user's first message; the whole prompt where no user speaks."""
    return next(((message,) for message in prompt if message.role == "user"), prompt)


def _said(prompt: Messages) -> Messages:
    """The user's messages; the whole prompt where no user speaks."""
    return tuple(message for message in prompt if message.role == "user") or prompt


def _check_shares(shares: Mapping[str, float]) -> None:
    total = sum(shares.values())
    if len(shares) < 2 or any(not 0 <= share <= 1 for share in shares.values()) or abs(total - 1) > 1e-6:
        told = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise DataError(
            f"split: found the shares {told or '(none)'}, which add up to {total:g}; expected two parts or more, whose "
            "shares add up to 1 (train=0.9,test=0.1)."
        )
