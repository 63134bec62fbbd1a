"""Weights laid out for decoding: every token reads all of them, so they are brought into form once beforehand.

A CPU's matrix products of a few rows spend more time rearranging weights (and, in bfloat16, rounding them) than
multiplying. oneDNN can keep the arrangement; torch's compiler uses it so, and the operators are called here by name.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from boresight.models.precision import is_lowered

_arrange = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
_arranged_product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
_takes_bfloat16 = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)


@contextmanager
def decoding_weights(model: nn.Module) -> Iterator[None]:
    """Within, linear layers on a CPU multiply with copies of their weights that are arranged for it.

    The numbers are the same but for rounding. The copies take the memory of the linear layers' weights, in bfloat16
    half of it, until the end; weights that change within are not seen.
    """
    changed: list[nn.Module] = []
    try:
        for module in model.modules():
            product = _product_of(module)
            if product is not None:
                module.forward = product  # in the instance, before the class's own
                changed.append(module)
        yield
    finally:
        for module in changed:
            del module.forward


def _product_of(module: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """What computes a plain linear layer; None where it is better left alone."""
    if type(module) not in (nn.Linear, Conv1D) or "forward" in vars(module):
        return None
    weight, bias = module.weight, module.bias
    if not isinstance(weight, Tensor) or isinstance(weight, DTensor) or weight.device.type != "cpu":
        return None
    if weight.dtype != torch.float32:
        return None
    lowered = is_lowered("cpu")
    dtype = torch.get_autocast_dtype("cpu") if lowered else torch.float32
    assert bias is None or isinstance(bias, Tensor)
    rounded = weight.detach().t() if isinstance(module, Conv1D) else weight.detach()
    rounded = rounded.to(dtype).contiguous()
    own_bias = None if bias is None else bias.detach().to(dtype)
    if _arrange is not None and _arranged_product is not None and (not lowered or _takes_bfloat16()):
        return partial(_arranged, _arrange(rounded), own_bias, dtype)
    return partial(_plain, rounded, own_bias, dtype) if lowered else None


def _arranged(weight: Tensor, bias: Tensor | None, dtype: torch.dtype, x: Tensor) -> Tensor:
    product: Tensor = _arranged_product(x.to(dtype), weight, bias, "none", [], "")  # type: ignore[misc]
    return product


def _plain(weight: Tensor, bias: Tensor | None, dtype: torch.dtype, x: Tensor) -> Tensor:
    return linear(x.to(dtype), weight, bias)
