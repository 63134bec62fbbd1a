"""Preferences that contradict each other: a over b here and b over a there, or a ring of three and more.

Answers are compared by their words, so that a full stop more or less makes no other answer. A row takes 24 bytes.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from boresight.data.lint.finding import Finding, Marks, by_share, of_rows
from boresight.data.lint.row import Row, fingerprint
from boresight.data.wording import counted

SOME = 0.01
SMALLEST_RING = 3


@dataclass(slots=True)
class Contradictions:
    """Both findings need the whole set, so fingerprints are kept: prompt, chosen, rejected, position."""

    prompts: "array[int]" = field(default_factory=lambda: array("Q"))
    winners: "array[int]" = field(default_factory=lambda: array("Q"))
    losers: "array[int]" = field(default_factory=lambda: array("Q"))
    positions: "array[int]" = field(default_factory=lambda: array("q"))

    def see(self, row: Row) -> None:
        if row.rejected is None or row.chosen.words == row.rejected.words:
            return
        self.prompts.append(fingerprint(*(" ".join(words) for words in _spoken(row))))
        self.winners.append(fingerprint(*row.chosen.words))
        self.losers.append(fingerprint(*row.rejected.words))
        self.positions.append(row.position)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        prompts, winners, losers = (np.array(a, dtype=np.uint64) for a in (self.prompts, self.winners, self.losers))
        positions = np.array(self.positions, dtype=np.int64)
        both_ways = _both_ways(prompts, winners, losers)
        marks = Marks(positions[both_ways].tolist())
        if marks:
            message = (
                f"{counted(len(marks), 'pair')} contradicted by a pair of the same prompt that prefers the other "
                "answer of the two"
            )
            yield of_rows("contradictory", by_share(len(marks), len(ids), SOME), marks, ids, message)
        ringed = Marks(positions[_in_rings(prompts, winners, losers, both_ways)].tolist())
        if ringed:
            message = f"{counted(len(ringed), 'pair')} on a ring (a over b, b over c, c over a): no ranking fits them"
            yield of_rows("preference_cycle", by_share(len(ringed), len(ids), SOME), ringed, ids, message)


def _spoken(row: Row) -> Iterator[list[str]]:
    for message in row.prompt[:-1]:
        yield message.content.lower().split()
    yield row.question_words


def _both_ways(
    prompts: NDArray[np.uint64], winners: NDArray[np.uint64], losers: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """Rows whose two answers stand the other way round in another row of the prompt (rows,)."""
    low, high = np.minimum(winners, losers), np.maximum(winners, losers)
    upright = winners < losers
    order = np.lexsort((high, low, prompts))
    found = np.zeros(len(prompts), dtype=np.bool_)
    if not len(order):
        return found
    same = (
        (np.diff(prompts[order]) == 0) & (np.diff(low[order]) == 0) & (np.diff(high[order]) == 0)
    )  # unsigned differences are 0 only where both are equal
    group = np.concatenate(([0], np.cumsum(~same)))
    ups = np.bincount(group, weights=upright[order])
    sizes = np.bincount(group)
    found[order] = ((ups > 0) & (ups < sizes))[group]
    return found


def _in_rings(
    prompts: NDArray[np.uint64],
    winners: NDArray[np.uint64],
    losers: NDArray[np.uint64],
    both_ways: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Rows between answers that lie on a ring of preferences, those contradicted outright left aside."""
    candidates = np.flatnonzero(~both_ways)
    order = candidates[np.argsort(prompts[candidates], kind="stable")]
    bounds = np.concatenate(([0], np.flatnonzero(np.diff(prompts[order])) + 1, [len(order)]))
    found: list[int] = []
    for begin in np.flatnonzero(np.diff(bounds) >= SMALLEST_RING):
        group = order[bounds[begin] : bounds[begin + 1]]
        edges = [(int(winners[i]), int(losers[i])) for i in group]
        ringed = _ringed_nodes(edges)
        found.extend(int(i) for i, edge in zip(group, edges, strict=True) if set(edge) <= ringed)
    return np.array(sorted(found), dtype=np.int64)


def _ringed_nodes(edges: Sequence[tuple[int, int]]) -> set[int]:
    """Answers that remain when those that only win or only lose are taken away, again and again."""
    left = set(edges)
    while left:
        winners, losers = {a for a, _ in left}, {b for _, b in left}
        inner = {edge for edge in left if edge[0] in losers and edge[1] in winners}
        if inner == left:
            return winners | losers
        left = inner
    return set()
