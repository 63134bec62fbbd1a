"""Right-padded rows laid end to end in one row without padding, what several rows begin with standing there once.

Causal attention makes the state of a token depend on what precedes it alone. Rows with the same prompt (chosen and
rejected, or K ranked responses) are therefore computed as a tree: their common beginning once, then each remainder
with a view of the beginning and of itself. States, and so log-probabilities and gradients, are those of the padded
rows but for rounding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Span(NamedTuple):
    """Tokens [start, end) of the packed row: they see tokens [stem_start, stem_end) and, causally, each other."""

    start: int
    end: int
    stem_start: int
    stem_end: int

    @property
    def stem(self) -> int:
        return self.stem_end - self.stem_start

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class PackedRow:
    """One row for all; `places` says where the token at (row, position) of the padded rows stands in it."""

    input_ids: Tensor  # (1, packed tokens) int64
    position_ids: Tensor  # (1, packed tokens) int64, counted from each row's own beginning
    spans: tuple[Span, ...]  # what stands in none of them is filling
    places: Tensor  # (rows, tokens) int64; beyond what a row needs it points at the first token, and is not read


def pack(rows: Sequence[Sequence[int]], prompt_lengths: Sequence[int], *, width: int, quantum: int = 1) -> PackedRow:
    """Pack rows of token ids; those whose first `prompt_length` ids are equal share what they have in common.

    `width` is the number of columns of `places`. The packed row is filled up to a multiple of `quantum` tokens: a
    small set of lengths keeps what libraries cache for each shape small.
    """
    ids: list[int] = []
    positions: list[int] = []
    spans: list[Span] = []
    places = torch.zeros(len(rows), width, dtype=torch.long)
    for family in _families(rows, prompt_lengths):
        stem = _common_length([rows[row] for row in family])
        start = len(ids)
        ids += rows[family[0]][:stem]
        positions += range(stem)
        for number, row in enumerate(family):
            rest = rows[row][stem:]
            places[row, :stem] = torch.arange(start, start + stem)
            places[row, stem : stem + len(rest)] = torch.arange(len(ids), len(ids) + len(rest))
            if number == 0:  # it stands right behind the stem: together they are one causal sequence
                spans.append(Span(start, len(ids) + len(rest), start, start))
            elif rest:
                spans.append(Span(len(ids), len(ids) + len(rest), start, start + stem))
            ids += rest
            positions += range(stem, stem + len(rest))
    filling = -len(ids) % quantum
    return PackedRow(
        torch.tensor([ids + [0] * filling]), torch.tensor([positions + [0] * filling]), tuple(spans), places
    )


def _families(rows: Sequence[Sequence[int]], prompt_lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of the rows with equal prompts, families in the order in which they are first met."""
    families: dict[tuple[int, ...], list[int]] = {}
    for number, (row, length) in enumerate(zip(rows, prompt_lengths, strict=True)):
        families.setdefault(tuple(row[:length]), []).append(number)
    return iter(families.values())


def _common_length(rows: Sequence[Sequence[int]]) -> int:
    """Tokens that all rows begin with; of a single row none, since there is nobody to share them with."""
    if len(rows) == 1:
        return 0
    shortest = min(len(row) for row in rows)
    return next((t for t in range(shortest) if len({row[t] for row in rows}) > 1), shortest)
