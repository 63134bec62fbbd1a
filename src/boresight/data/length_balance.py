"""Even out a set of pairs until a rule that sees length alone is at chance.

In each part of the data (kind, criterion or source) as many pairs stay in which the chosen response is longer as in
which it is shorter. What goes is taken from the side that is in excess, each time from the range of length gaps where
it outweighs the other side most, so that the gaps of both sides stay alike; within a range the pairs with the weakest
label go first.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from boresight.data.lint.row import fingerprint, part_of
from boresight.data.preferences import response_text
from boresight.records import PreferencePair

RANGES = 10
"""Ranges of the gap between both lengths, with about equally many pairs each."""

Positions = NDArray[np.int64]


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
        """Which of these pairs to leave out; none of them is of equal length."""
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
