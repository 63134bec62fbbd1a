"""Less memory for more time: what a block computes forward is computed again when the backward pass needs it.

Chen et al. 2016 (arXiv:1604.06174). Of each block only the input is kept. The recomputation repeats the same kernels
with the same dropout, so losses and gradients are those of a run without, to the bit.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from boresight.errors import ModelError


def checkpoint_activations(model: nn.Module, as_now: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
    """Recompute every block of this model in the backward pass from now on.

    `as_now` is called in each forward pass and gives the context in which its blocks are to be recomputed: for models
    that compute now under one adapter, now under another.

    transformers marks its blocks, but recomputes them in training mode alone, and the loops that train without dropout
    are in eval mode. Here the mode makes no difference; passes without gradient are computed as ever. Raises ModelError
    where transformers has marked no block.
    """
    found = blocks(model)
    if not found:
        raise ModelError(
            f"{type(model).__name__}: transformers does not say where the blocks of this model begin, so its "
            "activations cannot be checkpointed. Take `activation_checkpointing` out; a lower micro_batch_tokens also "
            "saves memory."
        )
    for block in found:
        block.forward = partial(_recomputed, block.forward, as_now)


def blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of a model, as far as transformers marks them."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def _recomputed(
    forward: Callable[..., Any], as_now: Callable[[], AbstractContextManager[None]], *arguments: Any, **keywords: Any
) -> Any:
    if not torch.is_grad_enabled():
        return forward(*arguments, **keywords)
    context = as_now()
    return checkpoint(forward, *arguments, use_reentrant=False, context_fn=lambda: (nullcontext(), context), **keywords)
