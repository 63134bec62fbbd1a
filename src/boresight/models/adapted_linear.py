"""An adapted linear layer as one step of autograd: peft's arithmetic with fewer passes over the tokens.

    y = x W' + b + s (x A') B'         W, b frozen

peft's layer multiplies and adds results as wide as the layer, forward and backward, and casts its input once for the
layer and once for the adapter. Here the product with B is added as it is computed, and the factor s goes onto the
`rank` numbers a token between A and B. Of the frozen weights nothing is kept for the backward pass, where autocast
would keep a lowered copy of all of them.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from peft.tuners.lora.layer import Linear as LoraLinear


def use_one_step(model: nn.Module) -> None:
    """Compute the adapted layers of a model so from now on, where they are plain ones."""
    from peft.tuners.lora.layer import Linear as LoraLinear

    for layer in model.modules():
        adapted: Any = layer
        if type(adapted) is LoraLinear and type(adapted.get_base_layer()) is nn.Linear:
            adapted.forward = partial(_forward, adapted)


def _forward(layer: "LoraLinear", x: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
    base, names = layer.get_base_layer(), layer.active_adapters
    if arguments or keywords or len(names) != 1 or not _is_plain(layer, base, names[0]):
        usual: Tensor = type(layer).forward(layer, x, *arguments, **keywords)
        return usual
    (name,) = names
    down, up = layer.lora_A[name].weight, layer.lora_B[name].weight
    out: Tensor = _AdaptedLinear.apply(x, base.weight, base.bias, down, up, layer.scaling[name])  # type: ignore[no-untyped-call]
    return out


def _is_plain(layer: "LoraLinear", base: nn.Module, name: str) -> bool:
    """Whether the layer computes what stands above, and nothing else that peft or somebody else has put into it."""
    return (
        "forward" not in vars(base)
        and not base.weight.requires_grad
        and name in layer.lora_A
        and name not in layer.lora_variant
        and not layer.lora_bias[name]
        and not layer.disable_adapters
        and not layer.merged
        and (isinstance(layer.lora_dropout[name], nn.Identity) or not layer.training)
    )


class _AdaptedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        rows = x.reshape(-1, x.shape[-1]).to(dtype)
        out = nn.functional.linear(rows, weight.to(dtype), None if bias is None else bias.to(dtype))
        inner = nn.functional.linear(rows, down.to(dtype)).mul_(scale)
        with torch.autocast(device, enabled=False):
            out.addmm_(inner, up.to(dtype).T)
        ctx.save_for_backward(rows, weight, down, up, inner)
        ctx.scale, ctx.shape, ctx.input_dtype = scale, x.shape, x.dtype
        # Autograd forbids to write into a view that was made in here, and some families write into what a layer gives.
        shaped: Tensor = torch.ops.aten._unsafe_view(out, [*x.shape[:-1], out.shape[-1]])
        return shaped

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, Tensor | None, Tensor | None, None]:
        rows, weight, down, up, inner = ctx.saved_tensors
        to_x = to_down = to_up = None
        with torch.autocast(grad.device.type, enabled=False):
            grad = grad.reshape(-1, grad.shape[-1]).to(rows.dtype)
            to_inner = (grad @ up.to(rows.dtype)).mul_(ctx.scale)
            if ctx.needs_input_grad[0]:
                to_x = grad @ weight.to(rows.dtype)
                to_x = to_x.addmm_(to_inner, down.to(rows.dtype)).view(ctx.shape).to(ctx.input_dtype)
            if ctx.needs_input_grad[3]:
                to_down = (to_inner.T @ rows).to(down.dtype)
            if ctx.needs_input_grad[4]:
                to_up = (grad.T @ inner).to(up.dtype)
        return to_x, None, None, to_down, to_up, None
