"""Rows that stand in the data more than once: word for word, and but for small changes (MinHash).

Exact: a 64-bit fingerprint of prompt and answers. Near: MinHash (Broder 1997) over shingles of three words (of five
characters in scripts that part no words), 64 permutations by rensa, in 8 bands of 8; two rows that share a band are
near duplicates where 90 % of their minima agree, which estimates the overlap of their shingles. A row takes 8 bytes for
the one and 256 for the other; the first of a group of duplicates is not counted as one.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from boresight.data.lint.finding import Finding, Marks, Severity, by_share, of_rows
from boresight.data.lint.row import Row, fingerprint
from boresight.data.wording import counted

PERMUTATIONS, BAND = 64, 8
NEAR = 0.9
BATCH, BATCH_CHARACTERS = 1024, 2**20
SEED = 7
MIX = np.uint64(0x9E3779B97F4A7C15)
SOME = 0.01

Sketch = Callable[[list[list[str]]], NDArray[np.uint32]]
"""Shingles of rows -> their minima, (rows, PERMUTATIONS)."""


@dataclass(slots=True)
class Minima:
    """MinHash of texts that come one after the other, sketched in batches; of a text 256 bytes are kept."""

    sketch: Sketch
    batches: list[NDArray[np.uint32]] = field(default_factory=list)
    waiting: list[list[str]] = field(default_factory=list)
    characters: int = 0

    def add(self, shingles: list[str]) -> None:
        """Take in the shingles of the next text; sketched once a batch is full."""
        self.waiting.append(shingles)
        self.characters += sum(map(len, shingles))
        if len(self.waiting) >= BATCH or self.characters >= BATCH_CHARACTERS:
            self._flush()

    def all(self) -> NDArray[np.uint32]:
        """(texts, PERMUTATIONS), in the order in which they came; nothing stands in memory twice."""
        self._flush()
        end = sum(map(len, self.batches))
        together = np.empty((end, PERMUTATIONS), dtype=np.uint32)
        while self.batches:
            batch = self.batches.pop()
            together[end - len(batch) : end] = batch
            end -= len(batch)
        self.batches = [together]
        return together

    def _flush(self) -> None:
        if self.waiting:
            self.batches.append(self.sketch(self.waiting))
            self.waiting = []
            self.characters = 0


@dataclass(slots=True)
class Duplicates:
    """`near` is None where rensa is not installed; near duplicates are then not looked for, and that is said."""

    near: Minima | None
    exact: "array[int]" = field(default_factory=lambda: array("Q"))
    splits: "array[int]" = field(default_factory=lambda: array("H"))
    prompts: "array[int]" = field(default_factory=lambda: array("Q"))
    split_names: list[str] = field(default_factory=list)

    def see(self, row: Row) -> None:
        if row.split not in self.split_names:
            self.split_names.append(row.split)
        self.splits.append(self.split_names.index(row.split))
        self.prompts.append(row.prompt_hash)
        parts = (row.prompt, *(answer.messages for answer in row.answers()))
        self.exact.append(fingerprint(*(f"{m.role}\x1e{m.content}" for part in parts for m in part)))
        if self.near is not None:
            self.near.add(shingles(row))

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        splits = np.array(self.splits, dtype=np.int64)
        exact = first_of_equal(np.array(self.exact, dtype=np.uint64))
        yield from _within("exact_duplicate", "word for word", exact, splits, ids)
        groups = exact
        if self.near is None:
            yield Finding(
                id="near_duplicates_not_searched",
                severity="note",
                count=0,
                of=len(ids),
                message="near duplicates were not looked for, because rensa is not installed",
            )
        else:
            groups = _near_or_exact(self.near.all(), exact)
            yield from _within("near_duplicate", "but for small changes", groups, splits, ids, without=exact)
        if len(self.split_names) > 1:
            yield from self._across(groups, splits, ids)

    def _across(self, groups: NDArray[np.int64], splits: NDArray[np.int64], ids: Sequence[str]) -> Iterator[Finding]:
        names = ", ".join(self.split_names)
        marks = Marks(np.flatnonzero(_in_several(groups, splits)).tolist())
        if marks:
            message = f"{counted(len(marks), 'row')} found, exactly or nearly, in more than one of {names}"
            yield of_rows("duplicate_across_splits", "warning", marks, ids, message)
        first = first_of_equal(np.array(self.prompts, dtype=np.uint64))
        marks = Marks(np.flatnonzero(_in_several(first, splits)).tolist())
        if marks:
            message = f"{counted(len(marks), 'row')} with a prompt that stands in more than one of {names}"
            yield of_rows("prompt_across_splits", "warning", marks, ids, message)


def minima_by_rensa() -> Minima | None:
    """None where rensa is not installed."""
    sketch = rensa_sketch()
    return Minima(sketch) if sketch else None


def rensa_sketch() -> Sketch | None:
    """MinHash by rensa, or None where it is not installed."""
    try:
        from rensa import RMinHash
    except ImportError:
        return None

    def sketch(rows: list[list[str]]) -> NDArray[np.uint32]:
        return np.array(RMinHash.digests_from_token_sets(rows, PERMUTATIONS, SEED), dtype=np.uint32)

    return sketch


def shingles(row: Row) -> list[str]:
    """Shingles of the question and of each answer, those of an answer told from the other's."""
    parts = [shingles_of(row.question, row.question_words)]
    parts += [shingles_of(answer.text, answer.words) for answer in row.answers()]
    found = [f"{number}{shingle}" for number, part in enumerate(parts) for shingle in part]
    return found + [f"{message.role}{message.content}" for message in row.prompt[:-1]]


def shingles_of(text: str, words: list[str]) -> list[str]:
    """The overlapping pieces of a text by which near duplicates are found."""
    if not text.isascii() and 8 * len(words) <= len(text):  # a script that parts no words
        text = "".join(words)
        return [text[i : i + 5] for i in range(max(len(text) - 4, 1))]
    if len(words) < 3:
        return [" ".join(words)]
    return [f"{a} {b} {c}" for a, b, c in zip(words, words[1:], words[2:], strict=False)]


def first_of_equal(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each position the first position with the same value."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], dtype=np.int64)


def near_groups(minima: NDArray[np.uint32]) -> NDArray[np.int64]:
    """(rows, PERMUTATIONS) minima -> (rows,): for each row the first of its group, the rows that a chain of links
    joins."""
    parent = np.arange(len(minima))
    for one, other in near_links(minima):
        roots = _root(parent, one), _root(parent, other)
        parent[max(roots)] = min(roots)
    return np.array([_root(parent, i) for i in range(len(parent))], dtype=np.int64)


def _near_or_exact(minima: NDArray[np.uint32], exact: NDArray[np.int64]) -> NDArray[np.int64]:
    """First position of each row's group, exact duplicates in one group; equal rows are compared once."""
    distinct = np.flatnonzero(exact == np.arange(len(exact)))
    first = np.arange(len(exact))
    first[distinct] = distinct[near_groups(minima[distinct])]
    return first[exact]


def near_links(minima: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    """Pairs of rows that are near duplicates, from (rows, PERMUTATIONS) minima. Rows that share a band are compared
    with the row before them in the band and with the first one, so that the work grows with the rows, not with their
    square."""
    for start in range(0, minima.shape[1] if len(minima) else 0, BAND):
        _, bucket = np.unique(_band_hash(minima[:, start : start + BAND]), return_inverse=True)
        order = np.argsort(bucket, kind="stable")
        begins = np.concatenate(([True], np.diff(bucket[order]) != 0))
        heads = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
        later = np.flatnonzero(~begins)
        for one, other in ((order[later - 1], order[later]), (heads[later], order[later])):
            agreeing = _agreement(minima, one, other) >= NEAR
            yield from zip(one[agreeing].tolist(), other[agreeing].tolist(), strict=True)


def _band_hash(band: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """64 bits for the minima of a band (rows,); a collision costs a comparison, no more."""
    found = np.zeros(len(band), dtype=np.uint64)
    for column in band.T:
        found = (found ^ column) * MIX
    return found


def _agreement(minima: NDArray[np.uint32], one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    agreeing = np.zeros(len(one))
    for start in range(0, len(one), 1 << 16):
        chunk = slice(start, start + (1 << 16))
        agreeing[chunk] = (minima[one[chunk]] == minima[other[chunk]]).mean(axis=1)
    return agreeing


def _root(parent: NDArray[np.int64], node: int) -> int:
    while (above := int(parent[node])) != node:
        parent[node] = parent[above]
        node = above
    return node


def _within(
    finding_id: str,
    how: str,
    groups: NDArray[np.int64],
    splits: NDArray[np.int64],
    ids: Sequence[str],
    without: NDArray[np.int64] | None = None,
) -> Iterator[Finding]:
    """Rows whose group began earlier in their own split; those that `without` has already are left aside."""
    later = (groups != np.arange(len(groups))) & (splits[groups] == splits)
    if without is not None:
        later &= without == np.arange(len(groups))
    marks = Marks(np.flatnonzero(later).tolist())
    if marks:
        severity: Severity = by_share(len(marks), len(ids), SOME)
        message = f"{counted(len(marks), 'repetition')} of an earlier row {how}"
        originals = len(np.unique(groups[later]))
        yield of_rows(finding_id, severity, marks, ids, message, effect={"originals": originals})


def _in_several(groups: NDArray[np.int64], splits: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows of groups that more than one split has part in (rows,)."""
    if not len(groups):
        return np.zeros(0, dtype=np.bool_)
    low, high = np.full(len(groups), np.iinfo(np.int64).max), np.full(len(groups), -1)
    np.minimum.at(low, groups, splits)
    np.maximum.at(high, groups, splits)
    return np.asarray((low != high)[groups])
