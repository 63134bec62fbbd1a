"""From hidden states to log-probabilities of tokens without a table of tokens times vocabulary in between.

The head's matrix product and the softmax run over some tokens at a time. Where all of them fit into one block their
logits are kept for the backward pass in the format of the product; where they do not, only one number a token is, and
each block's logits are computed again. Memory beyond weights and gradient is thereby bounded whatever the vocabulary.

What is computed in float32 is so for some tokens at a time: a table of a whole block would be larger than all else.
"""

from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from boresight.models.precision import QUANTUM, is_lowered

BLOCK = 1 << 25  # logits in memory at once: 64 MB in bfloat16
SCRATCH = 1 << 21  # of these in float32 at once: 8 MB
SCRATCH_ON_GPU = 1 << 25  # where few launches count for more
WORDS = 4096  # rows of the head whose gradient is computed at once


def is_matrix(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether a layer is a matrix (and perhaps a bias) and nothing else that wants to be asked."""
    return type(layer) is nn.Linear and type(layer.weight) is nn.Parameter and not _is_watched(layer)


def head_logps(states: Tensor, head: nn.Linear, targets: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Log-probability of each target token, (tokens,) float32 at least.

    `states` is (tokens, hidden size), `targets` (tokens,). Equals `token_logps(head(states), targets)` but for
    rounding, in value and in every gradient; under autocast the product has autocast's format, as the head's would.
    """
    if not temperature > 0.0:
        raise ValueError(f"temperature is {temperature}; expected a number above 0")
    count = len(states)
    if is_lowered(states.device.type):
        filling = -count % QUANTUM
        states, targets = nn.functional.pad(states, (0, 0, 0, filling)), nn.functional.pad(targets, (0, filling))
    logps: Tensor = _HeadLogps.apply(states, head.weight, head.bias, targets, temperature)  # type: ignore[no-untyped-call]
    return logps[:count]


class _HeadLogps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, temperature: float
    ) -> Tensor:
        dtype = _product_dtype(states)
        rows, matrix, shift = states.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        blocks = _blocks(len(rows), weight.shape[0])
        keeps = len(blocks) == 1 and any(ctx.needs_input_grad)
        kept = None
        wide = torch.promote_types(dtype, torch.float32)
        logp, total = rows.new_empty(len(rows), dtype=wide), rows.new_empty(len(rows), dtype=wide)
        for block in blocks:
            logits = nn.functional.linear(rows[block], matrix, shift)
            kept = logits if keeps else None
            for piece in _pieces(block, logits):
                scaled = _scaled(logits[_within(piece, block)], temperature)
                largest = scaled.amax(dim=1)
                chosen = scaled.gather(1, targets[piece, None]).squeeze(1)
                total[piece] = largest + scaled.sub_(largest[:, None]).exp_().sum(dim=1).log_()
                logp[piece] = chosen - total[piece]
        ctx.save_for_backward(states, matrix, bias, targets, total, kept)
        ctx.temperature, ctx.dtype, ctx.weight_dtype = temperature, dtype, weight.dtype
        return logp

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        states, matrix, bias, targets, total, kept = ctx.saved_tensors
        rows = states.to(ctx.dtype)
        shift = None if bias is None else bias.to(ctx.dtype)
        wants_states, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        blocks = _blocks(len(rows), len(matrix))
        to_states = torch.empty_like(states) if wants_states else None
        to_weight = to_bias = None
        pull = grad / ctx.temperature
        with torch.autocast(states.device.type, enabled=False):
            for block in blocks:
                logits = nn.functional.linear(rows[block], matrix, shift) if kept is None else kept
                push = torch.empty_like(logits)
                for piece in _pieces(block, logits):
                    within = _within(piece, block)
                    scaled = _scaled(logits[within], ctx.temperature).sub_(total[piece, None]).exp_()
                    scaled.mul_(-pull[piece, None]).scatter_add_(1, targets[piece, None], pull[piece, None])
                    if wants_bias:
                        to_bias = _added(to_bias, scaled.sum(dim=0))
                    push[within] = scaled
                if to_states is not None:
                    to_states[block] = push @ matrix
                if wants_weight:
                    to_weight = _weight_gradient(push, rows[block], to_weight, ctx.weight_dtype)
        return to_states, to_weight, None if to_bias is None else to_bias.to(bias.dtype), None, None


def _product_dtype(states: Tensor) -> torch.dtype:
    """What autocast would compute in, or the states' own format."""
    device = states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype


def _scaled(logits: Tensor, temperature: float) -> Tensor:
    """Logits at a temperature in float32 at least, in memory of their own."""
    scaled = logits.to(torch.promote_types(logits.dtype, torch.float32), copy=True)
    return scaled if temperature == 1.0 else scaled.div_(temperature)


def _weight_gradient(push: Tensor, rows: Tensor, total: Tensor | None, dtype: torch.dtype) -> Tensor:
    """`push.T @ rows` in the weight's format, added to a total; some words at a time, so that no second table is."""
    words = push.shape[1]
    found = torch.empty(words, rows.shape[1], dtype=dtype, device=rows.device) if total is None else total
    for first in range(0, words, WORDS):
        some = slice(first, first + WORDS)
        part = push[:, some].T @ rows
        if total is None:
            found[some] = part
        else:
            found[some] += part
    return found


def _blocks(tokens: int, vocabulary: int) -> list[slice]:
    size = max(1, BLOCK // vocabulary)
    size -= size % QUANTUM if size > QUANTUM else 0
    return [slice(start, start + size) for start in range(0, tokens, size)]


def _pieces(block: slice, logits: Tensor) -> list[slice]:
    """A block's tokens, some at a time."""
    count, vocabulary = logits.shape
    size = max(1, (SCRATCH if logits.device.type == "cpu" else SCRATCH_ON_GPU) // vocabulary)
    last = block.start + count
    return [slice(start, min(start + size, last)) for start in range(block.start, last, size)]


def _within(piece: slice, block: slice) -> slice:
    return slice(piece.start - block.start, piece.stop - block.start)


def _added(total: Tensor | None, part: Tensor) -> Tensor:
    return part if total is None else total.add_(part)


def _is_watched(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )
