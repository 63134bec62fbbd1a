"""Attention over a packed row on a CPU: some queries at a time against the keys that they see, and no others.

The kernels of torch compute a causal square whole where it is short, as conversations are; here a block of queries
stops at its own last key, which saves nearly half. The softmax is computed again for the backward pass (Dao et al.
2022, arXiv:2205.14135, algorithm 4), all of it in float32 at least.

Short responses to one prompt go together: many small products cost more than one that computes some scores for nothing.
So they do with and without a gradient, and the log-probabilities of a policy are to the bit those of its reference.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boresight.models.precision import widened
from boresight.models.shared_prompt import Span

BLOCK = 64  # queries at a time: of 32 to 256 the fastest
TOGETHER = 192  # keys at most of responses that go together


def attend_in_blocks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    spans: Sequence[Span],
    scale: float,
    window: int | None,
    kept: dict[Any, Tensor] | None = None,
) -> Tensor:
    """(1, heads, tokens, head size) each -> (1, tokens, heads, head size), 0 at tokens that stand in no span.

    A query sees the stem of its span and, causally, the span itself; with `window` the last so many of these alone.
    `kept` is where one layer leaves to the next what depends on the spans alone.
    """
    kept = {} if kept is None else kept
    out: Tensor = _BlockAttention.apply(query, key, value, tuple(spans), scale, window, kept)  # type: ignore[no-untyped-call]
    return out


class _Block(NamedTuple):
    queries: slice  # of the row
    keys: slice  # of what the span sees
    hidden: Tensor  # (queries, last keys) bias, -inf where a query does not see one of these


def _blocks(span: Span, window: int | None, like: Tensor) -> Iterator[_Block]:
    """From the last to the first: without a window the first to come sees all keys."""
    for first in reversed(range(0, span.length, BLOCK)):
        last = min(first + BLOCK, span.length)
        low = 0 if window is None else max(0, span.stem + first + 1 - window)
        high = span.stem + last
        hidden = _hidden(last - first, high - low, window, like)
        yield _Block(slice(span.start + first, span.start + last), slice(low, high), hidden)


def _hidden(queries: int, keys: int, window: int | None, like: Tensor) -> Tensor:
    """The last query sees the last key, the one before it all but that, and so on."""
    if window is None:  # earlier keys are seen by all
        return _causal(like.dtype)[:queries, :queries]
    everywhere = like.new_full((queries, keys), -torch.inf)
    return everywhere.triu(keys - queries + 1).add_(everywhere.tril(keys - queries - window))


@cache
def _causal(dtype: torch.dtype) -> Tensor:
    return torch.full((BLOCK, BLOCK), -torch.inf, dtype=dtype).triu(1)


class _BlockAttention(torch.autograd.Function):
    """All spans of a row in one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        spans: tuple[Span, ...],
        scale: float,
        window: int | None,
        kept: dict[Any, Tensor],
    ) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.spans, ctx.scale, ctx.window = spans, scale, window
        with torch.autocast("cpu", enabled=False):  # which would round the scores
            return _attended(query, key, value, spans, scale, window, kept)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        query, key, value = ctx.saved_tensors
        with torch.autocast("cpu", enabled=False):
            found = _gradients(query, key, value, gradient, ctx.spans, ctx.scale, ctx.window)
        return *found, None, None, None, None


def _attended(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    spans: Sequence[Span],
    scale: float,
    window: int | None,
    kept: dict[Any, Tensor],
) -> Tensor:
    q, k, v = (widened(tensor[0]) for tensor in (query, key, value))
    q = q * scale
    out = query.new_zeros(query.shape[2], query.shape[1], query.shape[3])  # (tokens, heads, head size)
    for family in _families(spans) if window is None else [[span] for span in spans]:
        seen_k, seen_v = (_seen(tensor, family[0]._replace(end=family[-1].end)) for tensor in (k, v))
        if len(family) == 1:
            for block in _blocks(family[0], window, q):
                weights = _weights(q, seen_k, block)
                out[block.queries] = torch.bmm(weights, seen_v[:, block.keys]).transpose(0, 1)
            continue
        tokens, stem = slice(family[0].start, family[-1].end), family[-1].stem
        shape = family[0].stem, *(span.length for span in family), stem
        if shape not in kept:
            kept[shape] = _strangers(family, stem, q)
        scores = torch.baddbmm(kept[shape], q[:, tokens], seen_k.transpose(1, 2))
        out[tokens] = torch.bmm(torch.softmax(scores, dim=-1), seen_v).transpose(0, 1)
    return out[None]


def _families(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Neighbours with one stem as long as they are short, every other span by itself. A family's first span may be the
    one in which the stem itself stands."""
    family: list[Span] = []
    keys = 0
    for span in spans:
        if family and _is_kin(family, span) and keys + span.length <= TOGETHER:
            family.append(span)
            keys += span.length
            continue
        if family:
            yield family
        family, keys = [span], span.stem + span.length
    if family:
        yield family


def _is_kin(family: Sequence[Span], span: Span) -> bool:
    first, last = family[0], family[-1]
    if not span.stem or span.start != last.end:
        return False
    if last.stem:
        return (span.stem_start, span.stem_end) == (last.stem_start, last.stem_end)
    return span.stem_start == first.start and span.stem_end <= first.end


def _strangers(family: Sequence[Span], stem: int, like: Tensor) -> Tensor:
    """(queries, keys) bias, -inf but where a query sees a key: of the stem, or at or before it in its own response."""
    first = family[0]
    lengths = [first.length - (0 if first.stem else stem), *(span.length for span in family[1:])]
    owner = torch.tensor([0] * stem + [number for number, length in enumerate(lengths, 1) for _ in range(length)])
    sees = ((owner == 0) | (owner == owner[:, None])).tril()
    bias = torch.zeros(sees.shape, dtype=like.dtype).masked_fill_(~sees, -torch.inf)
    return bias[stem:] if first.stem else bias


def _gradients(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    gradient: Tensor,
    spans: Sequence[Span],
    scale: float,
    window: int | None,
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v, g = (widened(tensor[0]) for tensor in (query, key, value, gradient.transpose(1, 2)))
    q = q * scale
    dq, dk, dv = (torch.zeros_like(tensor) for tensor in (q, k, v))
    for span in spans:
        seen_k, seen_v = _seen(k, span), _seen(v, span)
        to_k, to_v = (torch.zeros_like(seen) for seen in (seen_k, seen_v)) if window else (None, None)
        for block in _blocks(span, window, q):
            weights, pulls = _weights(q, seen_k, block), g[:, block.queries]
            to_weights = torch.bmm(pulls, seen_v[:, block.keys].transpose(1, 2))
            to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
            dq[:, block.queries] = torch.bmm(to_scores, seen_k[:, block.keys])
            to_k = _added(to_k, torch.bmm(to_scores.transpose(1, 2), q[:, block.queries]), block.keys)
            to_v = _added(to_v, torch.bmm(weights.transpose(1, 2), pulls), block.keys)
        for total, piece in ((dk, to_k), (dv, to_v)):
            assert piece is not None  # a span has a block
            total[:, span.start : span.end] += piece[:, span.stem :]
            if span.stem:
                total[:, span.stem_start : span.stem_end] += piece[:, : span.stem]
    dq *= scale
    return dq.to(query.dtype)[None], dk.to(key.dtype)[None], dv.to(value.dtype)[None]


def _added(total: Tensor | None, part: Tensor, keys: slice) -> Tensor:
    """With a part added at its keys; the first part may be all of it."""
    if total is None:
        return part
    total[:, keys] += part
    return total


def _seen(tokens: Tensor, span: Span) -> Tensor:
    """What a span may look at, of keys or values: the stem and itself."""
    own = tokens[:, span.start : span.end]
    return torch.cat([tokens[:, span.stem_start : span.stem_end], own], dim=1) if span.stem else own


def _weights(queries: Tensor, seen_k: Tensor, block: _Block) -> Tensor:
    """(heads, queries, keys) attention weights of a block of scaled queries."""
    scores = torch.bmm(queries[:, block.queries], seen_k[:, block.keys].transpose(1, 2))
    scores[:, :, -block.hidden.shape[1] :] += block.hidden
    return torch.softmax(scores, dim=-1)
