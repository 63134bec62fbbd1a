"""Keys and values of the responses being written: preallocated slots, one for each response, filled from the left.

A slot holds what its response has of tokens and nothing else, so nothing is computed for padding but what a chunk of
neighbouring slots lacks of the longest among them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softmax

GROWTH = 64  # tokens; the capacity of the slots is a multiple of it
CHUNK_NUMBERS = 2**18  # keys of the slots that are attended to together on a CPU: about what its cache holds


class PromptKV(NamedTuple):
    """What a model remembers of a prompt: for each layer (key-value heads, tokens, head size)."""

    keys: list[Tensor]
    values: list[Tensor]

    @property
    def tokens(self) -> int:
        return self.keys[0].shape[1]


class SlotCache:
    """For each layer keys and values of (slots, key-value heads, capacity, head size).

    On a CPU they are float32 whatever the model computes in: with one query to a slot, its bfloat16 products are
    several times slower.
    """

    def __init__(self, slots: int) -> None:
        self.lengths: list[int] = []  # tokens in the slots in use, which are the first ones
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self._slots = slots

    @property
    def capacity(self) -> int:
        return self.keys[0].shape[2] if self.keys else 0

    def add(self, prompt: PromptKV) -> None:
        """Take one more slot into use, with a prompt in it."""
        slot = len(self.lengths)
        self._reserve(prompt.tokens + 1, prompt)
        for layer, (keys, values) in enumerate(zip(prompt.keys, prompt.values, strict=True)):
            self.keys[layer][slot, :, : prompt.tokens] = keys
            self.values[layer][slot, :, : prompt.tokens] = values
        self.lengths.append(prompt.tokens)

    def remove(self, slot: int) -> None:
        """Give a slot back; the last one in use moves into its place."""
        last, length = len(self.lengths) - 1, self.lengths[-1]
        if slot != last:
            for store in (*self.keys, *self.values):
                store[slot, :, :length] = store[last, :, :length]
            self.lengths[slot] = length
        self.lengths.pop()

    def step(self) -> "Step":
        """Room for one more token in each slot in use, and how to attend to it."""
        self._reserve(max(self.lengths) + 1, None)
        step = Step(self)
        self.lengths = [length + 1 for length in self.lengths]
        return step

    def _reserve(self, tokens: int, like: PromptKV | None) -> None:
        if tokens <= self.capacity:
            return
        capacity = max(tokens, self.capacity * 3 // 2) // GROWTH * GROWTH + GROWTH
        if like is not None and not self.keys:
            self.keys = [self._empty(keys, capacity) for keys in like.keys]
            self.values = [self._empty(values, capacity) for values in like.values]
            return
        for stores in (self.keys, self.values):
            for layer, store in enumerate(stores):
                stores[layer] = store.new_zeros(*store.shape[:2], capacity, store.shape[3])
                stores[layer][:, :, : store.shape[2]] = store

    def _empty(self, like: Tensor, capacity: int) -> Tensor:
        heads, _, size = like.shape
        dtype = torch.float32 if like.device.type == "cpu" and like.dtype != torch.float64 else like.dtype
        return torch.zeros(self._slots, heads, capacity, size, dtype=dtype, device=like.device)


class Step:
    """One token more in each slot in use: layer by layer, its key and value are stored and its query answered."""

    def __init__(self, cache: SlotCache) -> None:
        self.layers = 0
        self._cache = cache
        self._lengths = tuple(cache.lengths)  # before this token, so its own place
        self._chunks = tuple(_chunks(self._lengths, cache.keys[0]))
        self._places: dict[int, Tensor] = {}
        self._biases: dict[tuple[int, int | None], Tensor | None] = {}

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scale: float,
        window: int | None,
        softcap: float | None,
        sinks: Tensor | None = None,
    ) -> Tensor:
        """(slots, heads, 1, head size) in, (slots, 1, heads, head size) out; the layers come in their order. `sinks`
        are (heads,)."""
        keys, values = self._cache.keys[self.layers], self._cache.values[self.layers]
        self.layers += 1
        with torch.autocast(query.device.type, enabled=False):
            self._store(keys, key)
            self._store(values, value)
            rows, heads, kv_heads = query.shape[0], query.shape[1], key.shape[1]
            scaled = (query.to(keys.dtype) * scale).view(rows * kv_heads, heads // kv_heads, -1)
            out = scaled.new_empty(rows * kv_heads, heads // kv_heads, values.shape[3])
            for number, (start, end, tokens) in enumerate(self._chunks):
                part = slice(start * kv_heads, end * kv_heads)
                scores = torch.bmm(scaled[part], keys[start:end, :, :tokens].flatten(0, 1).transpose(1, 2))
                if softcap is not None:
                    scores = softcap * torch.tanh(scores / softcap)
                bias = self._bias(number, window, scores)
                if bias is not None:
                    scores.view(end - start, heads, tokens).add_(bias)
                sink = None if sinks is None else sinks.view(kv_heads, -1, 1).repeat(end - start, 1, 1)
                weights = weights_beside(scores, sink, scores.dtype)
                torch.bmm(weights, values[start:end, :, :tokens].flatten(0, 1), out=out[part])
        return out.to(query.dtype).view(rows, 1, heads, -1)

    def _store(self, store: Tensor, new: Tensor) -> None:
        heads, size = new.shape[1], new.shape[3]
        if heads not in self._places:
            first = torch.arange(len(self._lengths) * heads).view(-1, heads) * self._cache.capacity
            places = first + torch.tensor(self._lengths)[:, None]
            self._places[heads] = places.flatten().to(store.device)
        store.view(-1, size).index_copy_(0, self._places[heads], new.reshape(-1, size).to(store.dtype))

    def _bias(self, number: int, window: int | None, like: Tensor) -> Tensor | None:
        """(slots of the chunk, 1, tokens): -inf where a slot has no token, or none within the window."""
        if (number, window) not in self._biases:
            start, end, tokens = self._chunks[number]
            own = self._lengths[start:end]
            if min(own) + 1 == tokens and (window is None or tokens <= window):
                self._biases[number, window] = None
            else:
                places = torch.arange(tokens)
                newest = torch.tensor(own)[:, None, None]
                seen = places <= newest
                if window is not None:
                    seen &= places > newest - window
                bias = torch.zeros(seen.shape, dtype=like.dtype).masked_fill_(~seen, -torch.inf)
                self._biases[number, window] = bias.to(like.device)
        return self._biases[number, window]


def weights_beside(scores: Tensor, sink: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Softmax in `dtype` over the keys of scores (..., queries, keys); a sink takes its part of the whole and gives
    nothing for it: one more score a query, of a shape that broadcasts to (..., queries, 1)."""
    if sink is None:
        return softmax(scores, dim=-1, dtype=dtype)
    beside = sink.to(scores.dtype).expand(*scores.shape[:-1], 1)
    return softmax(torch.cat([scores, beside], dim=-1), dim=-1, dtype=dtype)[..., :-1]


def _chunks(lengths: Sequence[int], keys: Tensor) -> list[tuple[int, int, int]]:
    """(first slot, end, tokens of the longest with its new one) of slots to attend to together: on a CPU as many as
    its cache holds, elsewhere all."""
    size = len(lengths)
    if keys.device.type == "cpu":
        size = max(1, CHUNK_NUMBERS // (keys.shape[1] * keys.shape[3] * (max(lengths) + 1)))
    starts = range(0, len(lengths), size)
    return [(s, min(s + size, len(lengths)), max(lengths[s : s + size]) + 1) for s in starts]
