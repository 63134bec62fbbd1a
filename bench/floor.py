"""The arithmetic that a method cannot do without, and how fast this machine does nothing but arithmetic.

Model FLOPs utilisation is the one over the other: 1 would be a run that never does anything but multiply what has to be
multiplied. The floor counts each prompt once for all its responses, the vocabulary only where a response token is
scored, attention only where it is not masked, twice the forward pass for the backward pass, and no padding.
"""

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel

BACKWARD = 2  # forward passes that a backward pass is worth: one for the inputs' gradient, one for the weights'
SCORES_TOKENS = ("sft", "dpo", "orpo")  # methods that need the vocabulary
SHAPES = ((1024, 256, 768), (1024, 512, 1536), (1024, 1024, 2816))  # tokens, inputs, outputs
LARGE_SHAPES = ((8192, 2048, 8192), (16384, 4096, 4096))  # what fills a GPU


class Row(NamedTuple):
    """Tokens of a prompt and of each of its responses."""

    prompt: int
    responses: tuple[int, ...]


def floor_flops(method: str, model: PreTrainedModel, rows: Sequence[Row]) -> float:
    """Floating-point operations of one epoch over the rows, a multiplication and an addition counted as two."""
    config = model.config
    head = model.get_output_embeddings() if method in SCORES_TOKENS else None
    matrices = sum(
        module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear) and module is not head
    )
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    forward = 0.0
    for row in rows:
        answered = sum(row.responses)
        forward += 2.0 * matrices * (row.prompt + answered)
        seen = row.prompt**2 / 2 + sum(length * row.prompt + length**2 / 2 for length in row.responses)
        forward += 4.0 * config.num_hidden_layers * width * seen  # scores, and the sum over values
        if head is not None:
            forward += 2.0 * head.weight.numel() * answered
    reference = 1 if method == "dpo" else 0
    return forward * (1 + BACKWARD + reference)


def gemm_peak(dtype: torch.dtype, device: str = "cpu", seconds: float = 0.3) -> float:
    """Operations a second of the fastest of some matrix products of training, with the threads that are set now; by
    processor time, on a GPU by the clock."""
    shapes = SHAPES if device == "cpu" else LARGE_SHAPES
    return max(_speed(dtype, device, shape, seconds) for shape in shapes)


def _speed(dtype: torch.dtype, device: str, shape: tuple[int, int, int], seconds: float) -> float:
    tokens, inputs, outputs = shape
    x = torch.randn(tokens, inputs, device=device).to(dtype)
    weight = torch.randn(outputs, inputs, device=device).to(dtype)
    clock, finish = (
        (time.process_time, lambda: None) if device == "cpu" else (time.perf_counter, torch.cuda.synchronize)
    )
    once = []
    nn.functional.linear(x, weight)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        finish()
        start = clock()
        for _ in range(10):
            nn.functional.linear(x, weight)
        finish()
        once.append((clock() - start) / 10)
    return 2.0 * tokens * inputs * outputs / statistics.median(once)
