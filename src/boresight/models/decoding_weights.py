"""Weights as decoding reads them: once a token and not once a batch, so whatever is done to them is done beforehand."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn import Parameter
from transformers.pytorch_utils import Conv1D

from boresight.models.precision import is_lowered

PLAIN = (nn.Linear, Conv1D)  # layers whose only use of their weight is one matrix product


@contextmanager
def decoding_weights(model: nn.Module) -> Iterator[None]:
    """Within, matrix products in bfloat16 find their weights already rounded, where every token would round them anew.

    The numbers are the same. It takes the memory of the rounded copies; the weights themselves are untouched.
    """
    device = next(model.parameters()).device.type
    replaced: list[tuple[nn.Module, Parameter]] = []
    try:
        if is_lowered(device):
            for module in model.modules():
                weight = module._parameters.get("weight")
                if type(module) in PLAIN and weight is not None and not isinstance(weight, DTensor):
                    replaced.append((module, weight))
                    rounded = weight.detach().to(torch.get_autocast_dtype(device))
                    module._parameters["weight"] = Parameter(rounded, requires_grad=False)
        yield
    finally:
        for module, weight in replaced:
            module._parameters["weight"] = weight
