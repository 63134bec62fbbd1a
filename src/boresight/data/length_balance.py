"""Even out a set of pairs until a rule that sees length alone is at chance, by leaving pairs out or by weighing them.

Left out: in each part of the data (kind, criterion or source) as many pairs stay in which the chosen response is longer
as in which it is shorter. What goes is taken from the side that is in excess, each time from the range of length gaps
where it outweighs the other side most, so that the gaps of both sides stay alike; within a range the pairs with the
weakest label go first.

Weighed: in each part the pairs of either side get one weight, so that both sides weigh the same and all of them
together as much as before. Of gaps only the sign is evened out, and a part with pairs of one side alone cannot be.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boresight.data.lint.row import fingerprint, part_of
from boresight.data.preferences import response_text
from boresight.errors import DataError
from boresight.records import PreferencePair

RANGES = 10
"""Ranges of the gap between both lengths, with about equally many pairs each."""

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sides:
    """Pairs of a part whose chosen response is longer, and shorter."""

    longer: int
    shorter: int

    @property
    def weights(self) -> tuple[float, float]:
        """Of a pair on the longer side and of one on the shorter side; 1 where there is no pair to weigh against."""
        both = self.longer + self.shorter
        return (both / 2 / self.longer, both / 2 / self.shorter) if self.longer and self.shorter else (1.0, 1.0)

    def weight(self, gap: int) -> float:
        return self.weights[0] if gap > 0 else self.weights[1] if gap < 0 else 1.0


@dataclass(frozen=True, slots=True)
class LengthWeights:
    """The weights of pairs, which follow from the two sides of each part; parts without unequal lengths are absent."""

    parts: dict[str, Sides]

    @property
    def one_sided(self) -> list[str]:
        """Parts that no weight can even out."""
        return [name for name, sides in self.parts.items() if not (sides.longer and sides.shorter)]

    def accuracy(self, *, weighted: bool) -> float | None:
        """How often the better one of "the longer one wins" and "the shorter one wins" is right; None without pairs of
        unequal length."""
        longer = shorter = 0.0
        for sides in self.parts.values():
            weights = sides.weights if weighted else (1.0, 1.0)
            longer += sides.longer * weights[0]
            shorter += sides.shorter * weights[1]
        return max(longer, shorter) / (longer + shorter) if longer + shorter else None

    def mark(self, pair: PreferencePair) -> PreferencePair:
        """The pair with its weight in `meta`. Raises DataError where it has another one already."""
        sides, held = self.parts.get(part_of(pair)), pair.meta.get("weight")
        weight = sides.weight(length_gap(pair)) if sides else 1.0
        if held not in (None, weight):
            raise DataError(
                f"pair {pair.id!r}: meta.weight is {held!r} already; expected pairs without a weight, since this one "
                "would be lost. Weigh the file that it was made from, or take the weight out."
            )
        return replace(pair, meta={**pair.meta, "weight": weight})

    def as_json(self) -> dict[str, Any]:
        return {
            "length_rule_accuracy": self.accuracy(weighted=False),
            "weighted_length_rule_accuracy": self.accuracy(weighted=True),
            "one_sided": self.one_sided,
            "parts": {
                name or "(none)": {
                    "longer": sides.longer,
                    "shorter": sides.shorter,
                    "weight_longer": sides.weights[0],
                    "weight_shorter": sides.weights[1],
                }
                for name, sides in self.parts.items()
            },
        }


def weigh(pairs: Iterable[PreferencePair]) -> LengthWeights:
    """Weights that even out the lengths of these pairs; they are gone through once."""
    found: dict[str, Counter[int]] = {}
    for pair in pairs:
        if gap := length_gap(pair):
            found.setdefault(part_of(pair), Counter())[1 if gap > 0 else -1] += 1
    return LengthWeights({name: Sides(count[1], count[-1]) for name, count in found.items()})


@dataclass(slots=True)
class LengthGaps:
    """Of each pair the gap between both lengths, its part, and how far its label is from a tie; what is equal there is
    ordered by the id, so that rows may be given in any order."""

    gaps: "array[int]" = field(default_factory=lambda: array("q"))
    parts: "array[int]" = field(default_factory=lambda: array("q"))
    firmness: "array[float]" = field(default_factory=lambda: array("d"))
    ids: "array[int]" = field(default_factory=lambda: array("Q"))
    numbers: dict[str, int] = field(default_factory=dict)

    def see(self, pair: PreferencePair) -> None:
        self.gaps.append(length_gap(pair))
        self.parts.append(self.numbers.setdefault(part_of(pair), len(self.numbers)))
        self.firmness.append(abs(pair.p_chosen - 0.5))
        self.ids.append(fingerprint(pair.id))

    def excess(self, left: Positions) -> list[int]:
        """Which of the pairs at the positions `left` (n,) to leave out, ascending; none of them is of equal length."""
        gaps, parts = np.asarray(self.gaps, dtype=np.int64), np.asarray(self.parts, dtype=np.int64)
        unequal = left[gaps[left] != 0]
        return sorted(
            position
            for part in np.unique(parts[unequal])
            for position in self._excess(unequal[parts[unequal] == part], gaps)
        )

    def _excess(self, members: Positions, gaps: Positions) -> Iterator[int]:
        """Positions to leave out of one part."""
        signs = np.sign(gaps[members])
        surplus = int(signs.sum())
        if not surplus:
            return
        side = np.sign(surplus)
        bounds = np.quantile(np.abs(gaps[members]), np.linspace(0, 1, RANGES + 1)[1:-1])
        ranges = np.searchsorted(bounds, np.abs(gaps[members]), side="left")
        outweighs = np.array([int((signs[ranges == i] * side).sum()) for i in range(RANGES)])
        spare = {i: self._firmest_first(members[(ranges == i) & (signs == side)]) for i in range(RANGES)}
        for _ in range(abs(surplus)):
            open_ranges = [i for i in range(RANGES) if spare[i]]
            chosen = max(open_ranges, key=lambda i: outweighs[i])
            outweighs[chosen] -= 1
            yield spare[chosen].pop()

    def _firmest_first(self, members: Positions) -> list[int]:
        firmness, ids = np.asarray(self.firmness)[members], np.asarray(self.ids, dtype=np.uint64)[members]
        return [int(position) for position in members[np.lexsort((ids, firmness))[::-1]]]


def length_gap(pair: PreferencePair) -> int:
    """By how many characters the chosen response is longer than the rejected one."""
    return len(response_text(pair.chosen)) - len(response_text(pair.rejected))
