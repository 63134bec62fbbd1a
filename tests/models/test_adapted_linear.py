"""The layer in one step against peft's own, in value and in every gradient."""

import copy

import pytest
import torch
from torch import Tensor, nn

from boresight.config.sections import LoRASection
from boresight.models.adapted_linear import _AdaptedLinear
from boresight.models.adapters import add_adapter
from boresight.models.response_logps import response_logps

from .families import CONFIGS, build
from .test_adapters import learn_something
from .test_hidden_states import rows_of

LORA = LoRASection(rank=4, alpha=12)


def as_peft_has_it(model: nn.Module) -> nn.Module:
    twin = copy.deepcopy(model)
    for module in twin.modules():
        vars(module).pop("forward", None)
    return twin


def replaced(model: nn.Module) -> int:
    return sum("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("family", CONFIGS)
def test_log_probabilities_and_gradients_are_those_of_peft(family: str) -> None:
    model = build(family)
    add_adapter(model, LORA, task="CAUSAL_LM", seed=0)
    learn_something(model)
    twin = as_peft_has_it(model)
    assert (replaced(model) > 0, replaced(twin)) == (family != "gpt2", 0)  # whose layers are Conv1D
    batch = rows_of(0, prompts=3, responses=2)
    found, expected = (response_logps(m, *batch).logp for m in (model, twin))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    found.sum().backward()
    expected.sum().backward()
    others = dict(twin.named_parameters())
    for name, parameter in model.named_parameters():
        other = others[name].grad
        assert (parameter.grad is None) == (other is None), name
        if parameter.grad is not None and other is not None:
            torch.testing.assert_close(parameter.grad, other, atol=1e-4 * float(other.abs().max()), rtol=1e-4)


def layer_parts() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 3, 5), (4, 5), (4,), (2, 5), (4, 2))
    x, weight, bias, down, up = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
    return x.requires_grad_(), weight, bias, down.requires_grad_(), up.requires_grad_()


def test_it_is_x_w_and_s_times_x_a_b_and_its_gradient_is_right() -> None:
    x, weight, bias, down, up = layer_parts()
    out = _AdaptedLinear.apply(x, weight, bias, down, up, 0.7)
    torch.testing.assert_close(out, x @ weight.T + bias + 0.7 * (x @ down.T) @ up.T)
    assert torch.autograd.gradcheck(lambda a, b, c: _AdaptedLinear.apply(a, weight, bias, b, c, 0.7), (x, down, up))


def test_in_bfloat16_it_is_no_further_from_the_truth_than_peft() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((256, 64), (96, 64), (4, 64), (96, 4))
    x, weight, down, up = (torch.randn(shape, generator=generator) / 8 for shape in shapes)
    exact = x @ weight.T + 3.0 * (x @ down.T) @ up.T
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        found = _AdaptedLinear.apply(x, weight, None, down, up, 3.0)
        linear = nn.functional.linear
        as_peft_does = linear(x, weight) + linear(linear(x, down), up) * 3.0
    errors = [float((one.float() - exact).square().mean().sqrt()) for one in (found, as_peft_does)]
    assert 0.0 < errors[0] < errors[1]


def test_no_lowered_copy_of_the_frozen_weights_is_kept_for_the_backward_pass() -> None:
    """Autocast keeps one of each weight that it multiplies with, so long as a gradient may have to pass through."""

    def kept(model: nn.Module) -> int:
        shapes = {tuple(p.shape) for name, p in model.named_parameters() if ".lora_" not in name and p.ndim == 2}
        shapes |= {shape[::-1] for shape in shapes}
        found: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            if tensor.dtype == torch.bfloat16 and tuple(tensor.shape) in shapes:
                found[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with (
            torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            response_logps(model, *rows_of(0, prompts=4, responses=2))
        return len(found)

    model = build("llama")
    add_adapter(model, LORA, task="CAUSAL_LM", seed=0)
    assert kept(as_peft_has_it(model)) > 10 > kept(model)


def test_a_model_may_write_into_what_the_layer_gives() -> None:
    """As Gemma 3n does."""
    x, weight, bias, down, up = layer_parts()
    out = _AdaptedLinear.apply(x, weight, bias, down, up, 0.7)
    out[1:] += 2.0 * out[:1]
    (expected,) = torch.autograd.grad(
        (x @ weight.T + 0.7 * (x @ down.T) @ up.T).sum(dim=(1, 2)) @ x.new_tensor([3, 1]), x
    )
    (found,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(found, expected)
