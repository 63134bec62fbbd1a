"""Attention over a packed row, span by span, as an attention implementation of transformers.

Registered under NAME and set on a model, it is given every layer's queries, keys and values together with the spans, or
with the step of a decoder that keeps keys and values itself. Without either it is what transformers does by itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention, softmax
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from boresight.models.kv_cache import Step
from boresight.models.shared_prompt import Span

NAME = "boresight_packed"

# The kernel behind scaled_dot_product_attention on CPUs, called by name so that the backward pass of all spans writes
# into one gradient. Where a version of torch lacks it, the public function does the same a little slower.
_flash = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_flash_backward = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward", None)


class Spans:
    """The spans of one packed row, the masks they need, and how many layers have attended by them.

    `keep` is given the keys and values of each layer, (1, key-value heads, tokens, head size), where somebody wants to
    go on from them.
    """

    def __init__(self, spans: Sequence[Span], keep: Callable[[Tensor, Tensor], None] | None = None) -> None:
        self.spans = tuple(spans)
        self.keep = keep
        self.layers = 0
        self._masks: dict[tuple[Any, ...], Tensor | None] = {}

    def mask(self, span: Span, window: int | None, like: Tensor) -> Tensor | None:
        """(queries, keys) bias, 0 where a query sees a key and -inf elsewhere; None where plain causal order does."""
        key = span.stem, span.length, window, like.dtype, like.device
        if key not in self._masks:
            self._masks[key] = _bias(span, window, like)
        return self._masks[key]


def _bias(span: Span, window: int | None, like: Tensor) -> Tensor | None:
    total = span.stem + span.length
    within = window is None or total <= window
    if span.stem == 0 and within:
        return None
    keys = torch.arange(total, device=like.device)
    queries = keys[span.stem :, None]
    seen = keys <= queries
    if window is not None:
        seen &= keys > queries - window
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill_(~seen, -torch.inf)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    spans: Spans | None = None,
    decoding: Step | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention function of transformers: (1, heads, tokens, head size) in, (1, tokens, heads, head size) out."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if decoding is not None:
        return decoding.attend(query, key, value, scale, sliding_window, softcap), None
    if spans is not None and spans.keep is not None:
        spans.keep(key, value)
    if spans is None and softcap is None:
        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return out, None
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    if spans is None:
        assert softcap is not None
        bias = _whole_bias(query, attention_mask, module)
        return _capped(query, key, value, bias, scale, softcap, dropout).transpose(1, 2), None
    spans.layers += 1
    if softcap is None and dropout == 0.0 and query.device.type == "cpu" and _can_flash(query, value):
        out = _SpanAttention.apply(query, key, value, spans, scale, sliding_window)  # type: ignore[no-untyped-call]
        return out, None
    return _span_by_span(query, key, value, spans, scale, dropout, sliding_window, softcap), None


def _span_by_span(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    spans: Spans,
    scale: float,
    dropout: float,
    window: int | None,
    softcap: float | None,
) -> Tensor:
    """The same by public functions: for GPUs, dropout and soft caps."""
    pieces = []
    for span in spans.spans:
        bias = spans.mask(span, window, query)
        q, k, v = query[:, :, span.start : span.end], _seen(key, span), _seen(value, span)
        if softcap is not None:
            pieces.append(_capped(q, k, v, _causal(q) if bias is None else bias, scale, softcap, dropout))
        else:
            pieces.append(scaled_dot_product_attention(q, k, v, bias, dropout, bias is None, scale=scale))
    out = torch.cat(pieces, dim=2).transpose(1, 2)  # spans stand in order and without gaps
    return nn.functional.pad(out, (0, 0, 0, 0, 0, query.shape[2] - out.shape[1]))


def _can_flash(query: Tensor, value: Tensor) -> bool:
    return (
        _flash is not None
        and _flash_backward is not None
        and query.shape[-1] == value.shape[-1]
        and query.dtype in (torch.float32, torch.float64, torch.bfloat16)
    )


class _SpanAttention(torch.autograd.Function):
    """All spans of a row in one node of the graph; half precision is computed in float32."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, spans: Spans, scale: float, window: int | None
    ) -> Tensor:
        dtype = torch.float32 if query.dtype == torch.bfloat16 else query.dtype
        q, k, v = query.to(dtype), key.to(dtype), value.to(dtype)
        out = q.new_zeros(q.shape[0], q.shape[2], q.shape[1], q.shape[3])  # (1, tokens, heads, head size)
        sums = q.new_zeros(q.shape[0], q.shape[2], q.shape[1])  # log of each query's sum of exponentials
        for span in spans.spans:
            bias = spans.mask(span, window, q)
            piece, total = _flash(  # type: ignore[misc]
                q[:, :, span.start : span.end], _seen(k, span), _seen(v, span), 0.0, bias is None,
                attn_mask=bias, scale=scale,
            )  # fmt: skip
            out[:, span.start : span.end] = piece.transpose(1, 2)
            sums[:, span.start : span.end] = total.transpose(1, 2)
        out = out.to(query.dtype)
        ctx.save_for_backward(query, key, value, out, sums)
        ctx.spans, ctx.scale, ctx.window, ctx.dtype = spans, scale, window, dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        query, key, value, out, sums = ctx.saved_tensors
        q, k, v, out, gradient = (tensor.to(ctx.dtype) for tensor in (query, key, value, out, gradient))
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for span in ctx.spans.spans:
            bias = ctx.spans.mask(span, ctx.window, q)
            own = slice(span.start, span.end)
            of_q, of_k, of_v = _flash_backward(  # type: ignore[misc]
                gradient[:, own].transpose(1, 2), q[:, :, own], _seen(k, span), _seen(v, span),
                out[:, own].transpose(1, 2), sums[:, own].transpose(1, 2).contiguous(), 0.0, bias is None,
                attn_mask=bias, scale=ctx.scale,
            )  # fmt: skip
            dq[:, :, own] = of_q
            for total, piece in ((dk, of_k), (dv, of_v)):
                total[:, :, own] += piece[:, :, span.stem :]
                if span.stem:
                    total[:, :, span.stem_start : span.stem_end] += piece[:, :, : span.stem]
        return dq.to(query.dtype), dk.to(key.dtype), dv.to(value.dtype), None, None, None


def _seen(tokens: Tensor, span: Span) -> Tensor:
    """What a span may look at, of keys or values (1, heads, tokens, head size): the stem and itself."""
    own = tokens[:, :, span.start : span.end]
    if span.stem == 0:
        return own
    return torch.cat([tokens[:, :, span.stem_start : span.stem_end], own], dim=2)


def _capped(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float, softcap: float, dropout: float
) -> Tensor:
    """Attention with scores bent to at most `softcap` (Gemma 2), which no fused kernel knows."""
    scores = softcap * torch.tanh(query @ key.transpose(2, 3) * scale / softcap)
    if bias is not None:
        scores = scores + bias
    weights = softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return nn.functional.dropout(weights, dropout) @ value


def _causal(query: Tensor) -> Tensor:
    length = query.shape[2]
    return torch.full((length, length), -torch.inf, dtype=query.dtype, device=query.device).triu(1)


def _whole_bias(query: Tensor, mask: Tensor | None, module: nn.Module) -> Tensor | None:
    """The additive form of a mask of transformers: boolean, additive already, or None for plain causal order."""
    if mask is not None and mask.dtype == torch.bool:  # the lowest number, not -inf: padding may see nothing at all
        return torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, torch.finfo(query.dtype).min)
    if mask is not None:
        return mask
    if query.shape[2] == 1 or not getattr(module, "is_causal", True):
        return None
    return _causal(query)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
