"""Leave out just enough pairs that a rule which sees length alone is at chance.

In each part of the data (kind, criterion or source) as many pairs stay in which the chosen response is longer as in
which it is shorter. What goes is taken from the side that is in excess, each time from the range of length gaps where
it outweighs the other side most, so that the gaps of both sides stay alike; within a range the pairs with the weakest
label go first.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from boresight.data.lint.row import fingerprint, part_of
from boresight.data.preferences import response_text
from boresight.records import PreferencePair

RANGES = 10
"""Ranges of the gap between both lengths, with about equally many pairs each."""


def excess_pairs(pairs: Sequence[PreferencePair]) -> list[int]:
    """Positions of the pairs to leave out; none of them is of equal length."""
    gaps = np.array([len(response_text(p.chosen)) - len(response_text(p.rejected)) for p in pairs], dtype=np.int64)
    parts: dict[str, list[int]] = {}
    for position, pair in enumerate(pairs):
        if gaps[position]:
            parts.setdefault(part_of(pair), []).append(position)
    return sorted(position for members in parts.values() for position in _excess(pairs, np.array(members), gaps))


def _excess(pairs: Sequence[PreferencePair], members: NDArray[np.int64], gaps: NDArray[np.int64]) -> Iterator[int]:
    """Positions to leave out of one part."""
    signs = np.sign(gaps[members])
    surplus = int(signs.sum())
    if not surplus:
        return
    side = np.sign(surplus)
    bounds = np.quantile(np.abs(gaps[members]), np.linspace(0, 1, RANGES + 1)[1:-1])
    ranges = np.searchsorted(bounds, np.abs(gaps[members]), side="left")
    outweighs = np.array([int((signs[ranges == i] * side).sum()) for i in range(RANGES)])
    spare = {
        i: sorted(members[(ranges == i) & (signs == side)].tolist(), key=lambda p: _firmness(pairs[p]), reverse=True)
        for i in range(RANGES)
    }
    for _ in range(abs(surplus)):
        open_ranges = [i for i in range(RANGES) if spare[i]]
        chosen = max(open_ranges, key=lambda i: outweighs[i])
        outweighs[chosen] -= 1
        yield spare[chosen].pop()


def _firmness(pair: PreferencePair) -> tuple[float, int]:
    """How far the label is from a tie; what is equal there is ordered by the id, so that rows may be given in any
    order."""
    return abs(pair.p_chosen - 0.5), fingerprint(pair.id)
