"""Attention over a packed row, span by span, as an attention implementation of transformers.

Registered under NAME and set on a model, it is given every layer's queries, keys and values together with the spans, or
with the step of a decoder that keeps keys and values itself. Without either it is what transformers does by itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from boresight.models.block_attention import attend_in_blocks
from boresight.models.kv_cache import Step, weights_beside
from boresight.models.shared_prompt import Span

NAME = "boresight_packed"


class Spans:
    """The spans of one packed row, the masks they need, and how many layers have attended by them.

    `keep` is given the keys and values of each layer, (1, key-value heads, tokens, head size), where somebody wants to
    go on from them.
    """

    def __init__(self, spans: Sequence[Span], keep: Callable[[Tensor, Tensor], None] | None = None) -> None:
        self.spans = tuple(spans)
        self.keep = keep
        self.layers = 0
        self.kept: dict[Any, Tensor] = {}
        """What one layer leaves to the next."""
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
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention function of transformers: (1, heads, tokens, head size) in, (1, tokens, heads, head size) out.

    `s_aux` are attention sinks, (heads,): a score of each head for a key that has no value (gpt-oss).
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if decoding is not None:
        return decoding.attend(query, key, value, scale, sliding_window, softcap, s_aux), None
    if spans is not None and spans.keep is not None:
        spans.keep(key, value)
    fused = softcap is None and s_aux is None
    if spans is None and fused:
        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return out, None
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    if spans is None:
        bias = _whole_bias(query, attention_mask, module)
        return _by_hand(query, key, value, bias, scale, softcap, s_aux, dropout).transpose(1, 2), None
    spans.layers += 1
    if fused and dropout == 0.0 and query.device.type == "cpu":
        return attend_in_blocks(query, key, value, spans.spans, scale, sliding_window, spans.kept), None
    return _span_by_span(query, key, value, spans, scale, dropout, sliding_window, softcap, s_aux), None


def _span_by_span(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    spans: Spans,
    scale: float,
    dropout: float,
    window: int | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """The same by public functions: for GPUs, dropout, soft caps and sinks."""
    pieces = []
    for span in spans.spans:
        bias = spans.mask(span, window, query)
        q, k, v = query[:, :, span.start : span.end], _seen(key, span), _seen(value, span)
        if softcap is None and sinks is None:
            pieces.append(scaled_dot_product_attention(q, k, v, bias, dropout, bias is None, scale=scale))
        else:
            bias = _causal(q) if bias is None else bias
            pieces.append(_by_hand(q, k, v, bias, scale, softcap, sinks, dropout))
    out = torch.cat(pieces, dim=2).transpose(1, 2)  # spans stand in order and without gaps
    return nn.functional.pad(out, (0, 0, 0, 0, 0, query.shape[2] - out.shape[1]))


def _seen(tokens: Tensor, span: Span) -> Tensor:
    """What a span may look at, of keys or values (1, heads, tokens, head size): the stem and itself."""
    own = tokens[:, :, span.start : span.end]
    if span.stem == 0:
        return own
    return torch.cat([tokens[:, :, span.stem_start : span.stem_end], own], dim=2)


def _by_hand(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    scale: float,
    softcap: float | None,
    sinks: Tensor | None,
    dropout: float,
) -> Tensor:
    """Attention with scores bent to at most `softcap` (Gemma 2) or with sinks, of which no fused kernel knows."""
    scores = query @ key.transpose(2, 3) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if bias is not None:
        scores = scores + bias
    weights = weights_beside(scores, None if sinks is None else sinks[:, None, None], torch.float32)
    return nn.functional.dropout(weights.to(query.dtype), dropout) @ value


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
