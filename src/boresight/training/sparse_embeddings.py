"""Gradients of embeddings as the rows that a micro-batch reads, put together once an update.

The dense gradient of a vocabulary is mostly zeros, yet every micro-batch writes and adds all of it, and holds it beside
the sum so far while its activations are still there. On a CPU that is a good part of a step of a small model.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.nn import Parameter


def spare_embeddings(modules: Sequence[nn.Module]) -> None:
    """Have the trained embeddings in these modules on a CPU hand over rows; who updates them has to `densify`.

    Sharded weights and embeddings that compute something of their own are left as they are.
    """
    for module in modules:
        for part in module.modules():
            if type(part) is nn.Embedding and type(part.weight) is Parameter and part.weight.device.type == "cpu":
                part.sparse = part.weight.requires_grad and not part.scale_grad_by_freq


def densify(parameters: Iterable[Parameter]) -> None:
    """Put every gradient that came as rows into the dense form that norms and optimizers take."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.layout == torch.sparse_coo:
            parameter.grad = parameter.grad.to_dense()
