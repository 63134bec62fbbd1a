"""Norms and gated feed-forward parts that keep less for the backward pass than transformers' own, with equal results.

    RMSNorm:  y = x / sqrt(mean(x^2) + eps) * w        kept: x and one number a token   (Zhang & Sennrich 2019, eq. 4)
    SwiGLU:   y = down(silu(gate(x)) * up(x))          kept: gate(x) and up(x)          (Shazeer 2020, eq. 6)

Where `down` is a matrix and no more, its own input is made again in the backward pass.

A module is exchanged only where both compute the same on a probe, never because of its name. Parameters stay the same
objects under the same names, so what trains, saves or adapts the model need not know.
"""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear, silu
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from boresight.models.head_logps import is_matrix
from boresight.models.precision import widened

EPSILON_NAMES = ("variance_epsilon", "eps")
PROBE_TOKENS = 5
VIEWS = {"view", "_unsafe_view", "reshape", "t", "transpose", "expand", "detach", "alias"}


def make_lean(body: PreTrainedModel) -> None:
    """Exchange what can be in a model without its head, in place. A model that is not made so stays as it is."""
    norms = list(_exchanged(body, _lean_norm))
    list(_exchanged(body, _lean_mlp))
    lowered = _only_cast(body, norms)
    for norm in norms:
        norm.lowers = norm in lowered


class LeanRMSNorm(nn.Module):
    """Root-mean-square norm; `shifted` ones multiply by 1 + weight (Gemma).

    Where everything that reads the result casts it to autocast's format, it `lowers` it once for all of them.
    """

    def __init__(self, weight: nn.Parameter, epsilon: float, *, shifted: bool) -> None:
        super().__init__()
        self.weight = weight
        self.epsilon = epsilon
        self.shifted = shifted
        self.lowers = False

    def forward(self, states: Tensor) -> Tensor:
        """(..., size) in, the same out; computed in float32 at least."""
        # Llama's multiplies by the weight after it has gone back to the states' format, Gemma's before.
        dtype = states.dtype if self.shifted else torch.promote_types(states.dtype, self.weight.dtype)
        device = states.device.type
        if self.lowers and torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        factor = 1.0 + self.weight.float() if self.shifted else self.weight
        between = torch.promote_types(states.dtype, torch.float32) if self.shifted else states.dtype
        result: Tensor = _RMSNorm.apply(states, factor, self.epsilon, between, dtype)  # type: ignore[no-untyped-call]
        return result


class LeanMLP(nn.Module):
    """Gated feed-forward part around the layers of another."""

    def __init__(self, gate_proj: nn.Module, up_proj: nn.Module, down_proj: nn.Module) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = gate_proj, up_proj, down_proj

    def forward(self, states: Tensor) -> Tensor:
        """(..., hidden size) in, the same out."""
        gate, up, down = self.gate_proj(states), self.up_proj(states), self.down_proj
        result: Tensor
        if is_matrix(down) and down.bias is None:
            result = _GatedDown.apply(gate, up, down.weight)
        else:
            result = down(_SwiGLU.apply(gate, up))  # type: ignore[no-untyped-call]
        return result


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, factor: Tensor, epsilon: float, between: torch.dtype, dtype: torch.dtype
    ) -> Tensor:
        wide = widened(states)
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(states, factor, scale)
        return ((wide * scale).to(between) * factor).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        """With n = x scale and g = dy w: dx = scale (g - n mean(g n)), dw = sum over tokens of dy n."""
        states, factor, scale = ctx.saved_tensors
        normal, pull = widened(states) * scale, widened(gradient)
        to_factor = (pull * normal).flatten(0, -2).sum(dim=0).to(factor.dtype) if ctx.needs_input_grad[1] else None
        pull = pull * factor
        along = (pull * normal).mean(-1, keepdim=True)
        return pull.sub_(normal.mul_(along)).mul_(scale).to(states.dtype), to_factor, None, None, None


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(gradient * up, gate), silu(gate).mul_(gradient)


class _GatedDown(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, weight: Tensor) -> Tensor:
        device = gate.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else gate.dtype
        matrix = weight.to(dtype)
        ctx.save_for_backward(gate, up, matrix)
        ctx.weight_dtype = weight.dtype
        with torch.autocast(device, enabled=False):
            return linear(silu(gate).mul_(up).to(dtype), matrix)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        gate, up, matrix = ctx.saved_tensors
        with torch.autocast(gate.device.type, enabled=False):
            bent, pull, to_weight = silu(gate), (gradient @ matrix).to(gate.dtype), None
            if ctx.needs_input_grad[2]:
                gated = (bent * up).to(matrix.dtype)
                to_weight = (gradient.flatten(0, -2).T @ gated.flatten(0, -2)).to(ctx.weight_dtype)
            to_gate = torch.ops.aten.silu_backward(pull * up, gate)
            return to_gate, bent.mul_(pull), to_weight


def _exchanged(body: nn.Module, lean_form: Callable[[nn.Module], Any]) -> Iterator[Any]:
    """Put the lean form in the place of every module that has one; yields the new ones."""
    for parent in list(body.modules()):
        for name, child in list(parent.named_children()):
            lean = lean_form(child)
            if lean is not None:
                setattr(parent, name, lean.train(child.training))
                yield lean


def _lean_norm(module: nn.Module) -> LeanRMSNorm | None:
    parameters = dict(module.named_parameters())
    epsilon = next((value for name in EPSILON_NAMES if (value := getattr(module, name, None)) is not None), None)
    if parameters.keys() != {"weight"} or parameters["weight"].dim() != 1 or not isinstance(epsilon, float):
        return None
    if len(inspect.signature(module.forward).parameters) != 1:  # a gated one is told its gate as well
        return None
    weight = parameters["weight"]
    candidates = (LeanRMSNorm(weight, epsilon, shifted=shifted) for shifted in (False, True))
    return next((lean for lean in candidates if _same(module, lean, len(weight), weight)), None)


def _lean_mlp(module: nn.Module) -> LeanMLP | None:
    children = dict(module.named_children())
    parts = [children.pop(name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    gate, up, down = parts
    if gate is None or up is None or down is None or children.keys() - {"act_fn"}:
        return None
    lean = LeanMLP(gate, up, down)
    weight = next(gate.parameters())
    size = getattr(gate, "in_features", None)
    return lean if isinstance(size, int) and _same(module, lean, size, weight) else None


@torch.no_grad()
def _same(module: nn.Module, lean: nn.Module, size: int, like: Tensor) -> bool:
    """Whether both give the same numbers, to the bit, on a few tokens: in the weights' format, and under autocast."""
    if like.device.type == "meta" or not like.is_floating_point():
        return False
    probe = torch.randn(1, PROBE_TOKENS, size, generator=torch.Generator().manual_seed(0)).to(like.device)
    training = module.training
    try:
        return all(
            _agree(module.eval(), lean.eval(), probe.to(dtype), autocast)
            for dtype, autocast in ((like.dtype, False), (like.dtype, True), (torch.bfloat16, True))
        )
    except (TypeError, ValueError, RuntimeError, AttributeError):  # it wants to be called otherwise
        return False
    finally:
        module.train(training)


def _agree(module: nn.Module, lean: nn.Module, probe: Tensor, autocast: bool) -> bool:
    with torch.autocast(probe.device.type, dtype=torch.bfloat16, enabled=autocast, cache_enabled=False):
        plain, found = module(probe), lean(probe)
    return isinstance(plain, Tensor) and plain.dtype == found.dtype and torch.equal(plain, found)


@torch.no_grad()
def _only_cast(body: PreTrainedModel, norms: list[LeanRMSNorm]) -> set[LeanRMSNorm]:
    """Those norms whose result nobody reads under autocast but to cast it down, seen in one pass over a few tokens."""
    device = next(body.parameters()).device
    if device.type == "meta" or not norms:
        return set()
    watch, training = _Readers(), body.training
    hooks = [norm.register_forward_hook(lambda norm, _, result: watch.follow(norm, result)) for norm in norms]
    body.eval()
    probe = torch.arange(1, 1 + PROBE_TOKENS, device=device)[None] % body.get_input_embeddings().weight.shape[0]
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False), watch:
            body(input_ids=probe, use_cache=False)
    finally:
        body.train(training)
        for hook in hooks:
            hook.remove()
    return {norm for norm in norms if watch.readers[norm] == {"cast"}}


class _Readers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which operations read the results that it follows."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.readers: dict[nn.Module, set[str]] = defaultdict(set)
        self._followed: dict[int, tuple[nn.Module, Tensor]] = {}  # the tensor, so that its memory is not used again

    def follow(self, norm: nn.Module, result: Tensor) -> None:
        self._followed[result.untyped_storage().data_ptr()] = norm, result

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        lowers = name == "_to_copy" and (kwargs or {}).get("dtype") == torch.bfloat16
        for argument in torch.utils._pytree.tree_leaves((args, kwargs or {})):
            if isinstance(argument, Tensor) and argument.untyped_storage().data_ptr() in self._followed:
                norm, _ = self._followed[argument.untyped_storage().data_ptr()]
                if name not in VIEWS:
                    self.readers[norm].add("cast" if lowers else name)
        return func(*args, **(kwargs or {}))
