"""Rows of token ids as tensors, and the order in which rows are met.

Masks come from the rows themselves, never from comparing ids with a pad id: a pad token that equals the stop token
changes nothing. Padding holds `PAD_ID`; what stands there is never looked at.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boresight.data.tokenize import Encoded, EncodedPair, EncodedResponse

PAD_ID = 0  # any id of the vocabulary would do


@dataclass(frozen=True, slots=True)
class SFTBatch:
    input_ids: Tensor  # (rows, tokens) int64, right-padded
    response_mask: Tensor  # (rows, tokens) bool, True where the token at that place is trained
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResponseRows:
    """Prompts with a response each: one side of pairs, or responses that were rated one by one."""

    input_ids: Tensor  # (rows, tokens) int64, right-padded
    response_mask: Tensor  # (rows, tokens) bool, True at response tokens, the stop token included


@dataclass(frozen=True, slots=True)
class PreferenceBatch:
    """Chosen and rejected are fields, each with its own width: no row can be taken for the other kind."""

    chosen: ResponseRows
    rejected: ResponseRows
    p_chosen: Tensor  # (pairs,) float32, the soft label
    weight: Tensor  # (pairs,) float32, of each pair's loss
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """Left-padded, so that every row's next token stands in the same column."""

    input_ids: Tensor  # (rows, tokens) int64
    attention_mask: Tensor  # (rows, tokens) bool, True at the prompt's tokens
    ids: tuple[str, ...]


def collate_sft(rows: Sequence[Encoded], pad_id: int = PAD_ID) -> SFTBatch:
    """One batch of the rows, padded on the right: tokens and mask are (rows, tokens)."""
    input_ids, _ = pad_rows([row.input_ids for row in rows], pad_id)
    response_mask = torch.zeros(input_ids.shape, dtype=torch.bool)
    for i, row in enumerate(rows):
        response_mask[i, : len(row.response_mask)] = torch.tensor(row.response_mask, dtype=torch.bool)
    return SFTBatch(input_ids, response_mask, tuple(row.id for row in rows))


def collate_pairs(pairs: Sequence[EncodedPair], pad_id: int = PAD_ID) -> PreferenceBatch:
    """One batch of the pairs, padded on the right: tokens and masks are (pairs, tokens), weights (pairs,)."""
    return PreferenceBatch(
        chosen=_response_rows([(pair.prompt_ids, pair.chosen_ids) for pair in pairs], pad_id),
        rejected=_response_rows([(pair.prompt_ids, pair.rejected_ids) for pair in pairs], pad_id),
        p_chosen=torch.tensor([pair.p_chosen for pair in pairs], dtype=torch.float32),
        weight=torch.tensor([pair.weight for pair in pairs], dtype=torch.float32),
        ids=tuple(pair.id for pair in pairs),
    )


def collate_responses(responses: Sequence[EncodedResponse], pad_id: int = PAD_ID) -> ResponseRows:
    """One batch of the responses, padded on the right: tokens and mask are (responses, tokens)."""
    return _response_rows([(response.prompt_ids, response.response_ids) for response in responses], pad_id)


def collate_prompts(prompts: Sequence[Sequence[int]], ids: Sequence[str], pad_id: int = PAD_ID) -> PromptBatch:
    """Raises ValueError where the number of ids is not that of the prompts."""
    if len(prompts) != len(ids):
        raise ValueError(f"{len(prompts)} prompts, but {len(ids)} ids")
    input_ids, present = pad_rows(prompts, pad_id, left=True)
    return PromptBatch(input_ids, present, tuple(ids))


class BatchOrder:
    """Which rows are met in which step: every row once an epoch, in batches of rows of like length.

    An epoch's order follows from seed and epoch number alone: rows are shuffled, sorted by length within windows of
    `bucket` batches, cut into batches (a short one is kept, but with fewer rows than `least` it joins the one before),
    and the batches are shuffled. A resumed run asks for the step it stopped at and goes on as if it had never stopped.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, bucket: int = 16, *, least: int = 1) -> None:
        """Raises ValueError where there are no rows or a size is below one."""
        if not lengths or batch_size < 1 or bucket < 1:
            raise ValueError(f"{len(lengths)} rows, batch_size {batch_size}, bucket {bucket}; each must be 1 or more")
        self._lengths = tuple(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._bucket = bucket
        self._least = least
        self._last_epoch: tuple[int, list[list[int]]] = (0, self._make_epoch(0))

    @property
    def batches_per_epoch(self) -> int:
        whole, rest = divmod(len(self._lengths), self._batch_size)
        return max(1, whole + (rest >= self._least))

    def steps(self, epochs: float) -> int:
        """Batches in that many epochs; of a part of one as many as cover it, and never none."""
        return max(1, math.ceil(epochs * self.batches_per_epoch - 1e-9))  # 1e-9: 0.7 * 10 is 7.000000000000001

    def epoch(self, step: int) -> float:
        """Passes over the data that are complete after this step (steps count from 0)."""
        whole, index = divmod(step, self.batches_per_epoch)
        met = sum(len(rows) for rows in self._epoch(whole)[: index + 1])
        return whole + met / len(self._lengths)

    def batch(self, step: int) -> list[int]:
        """Row numbers of a step, counted from 0 over all epochs."""
        return self.at(*divmod(step, self.batches_per_epoch))

    def at(self, epoch: int, index: int) -> list[int]:
        """Row numbers of batch `index` of an epoch."""
        return list(self._epoch(epoch)[index])

    def _epoch(self, epoch: int) -> list[list[int]]:
        if self._last_epoch[0] != epoch:
            self._last_epoch = (epoch, self._make_epoch(epoch))
        return self._last_epoch[1]

    def _make_epoch(self, epoch: int) -> list[list[int]]:
        generator = random.Random(f"batch order {self._seed} {epoch}")  # a text seed is hashed the same everywhere
        rows = list(range(len(self._lengths)))
        generator.shuffle(rows)
        window = self._batch_size * self._bucket
        batches = []
        for start in range(0, len(rows), window):
            alike = sorted(rows[start : start + window], key=lambda row: self._lengths[row])
            batches += [alike[i : i + self._batch_size] for i in range(0, len(alike), self._batch_size)]
        if len(batches) > self.batches_per_epoch:
            too_short = batches.pop()
            batches[-1] += too_short
        generator.shuffle(batches)
        return batches


def _response_rows(rows: Sequence[tuple[list[int], list[int]]], pad_id: int) -> ResponseRows:
    input_ids, present = pad_rows([prompt + response for prompt, response in rows], pad_id)
    for i, (prompt, _) in enumerate(rows):
        present[i, : len(prompt)] = False
    return ResponseRows(input_ids, present)


def pad_rows(rows: Sequence[Sequence[int]], pad_id: int = PAD_ID, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Ids (rows, tokens) and where they are not padding (rows, tokens)."""
    width = max(len(row) for row in rows)
    input_ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    present = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        input_ids[i, place] = torch.tensor(row, dtype=torch.long)
        present[i, place] = True
    return input_ids, present
