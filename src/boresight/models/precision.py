"""The number format of matrix products, with weights, losses and everything that is added up kept in float32.

The format is that of `torch.autocast`. Its cache of cast weights is off: a cast that outlives an optimizer step would
be of the weights before it.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

QUANTUM = 128
"""Rows of lowered matrix products are filled up to a multiple of this: a CPU's library keeps a compiled kernel, and
memory for it, for every number of rows that it meets."""


def arithmetic(dtype: str, device: str) -> AbstractContextManager[object]:
    """The context in which a stage runs: plain float32, or matrix products in bfloat16."""
    if dtype == "float32":
        return nullcontext()
    return torch.autocast(device, dtype=torch.bfloat16, cache_enabled=False)


def widened(numbers: Tensor) -> Tensor:
    """The same, of any shape, in float32 at least."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))


def is_lowered(device: str) -> bool:
    """Whether matrix products are rounded to bfloat16 just now: equal inputs in other batches then differ visibly."""
    return torch.is_autocast_enabled(device)
