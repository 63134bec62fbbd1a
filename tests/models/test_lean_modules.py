"""Lean modules against transformers' own, which are the second source of every value here."""

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from boresight.models.activation_checkpointing import checkpoint_activations
from boresight.models.lean_modules import LeanMLP, LeanRMSNorm, make_lean
from boresight.models.tiny import tiny_llama, tiny_tokenizer

from .families import CONFIGS, build

IDS = torch.tensor([[3, 7, 5, 1, 6, 2, 8, 4], [8, 2, 9, 5, 7, 1, 3, 6]])
FOUND = {  # norms and feed-forward parts that are exchanged, of two blocks
    "llama": (5, 2),
    "qwen2": (5, 2),
    "qwen3": (9, 2),
    "mistral with a sliding window": (5, 2),
    "gemma2 with soft caps": (9, 0),
    "gpt_neox": (0, 0),
    "gpt2": (0, 0),
}


def twins(family: str, dtype: torch.dtype = torch.float32) -> tuple[PreTrainedModel, PreTrainedModel]:
    plain = build(family).to(dtype)
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if "norm" in name:  # as they come they are all ones, or zeros
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    lean = copy.deepcopy(plain)
    make_lean(lean.base_model)
    return plain, lean


def gradients(model: PreTrainedModel) -> tuple[Tensor, dict[str, Tensor]]:
    states = model.base_model(input_ids=IDS, use_cache=False).last_hidden_state
    pull = torch.randn(states.shape, generator=torch.Generator().manual_seed(1)).to(states.dtype)
    (states * pull).sum().backward()
    return states.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def relative_difference(ours: dict[str, Tensor], plain: dict[str, Tensor]) -> float:
    assert ours.keys() == plain.keys() and ours
    off = sum(float((ours[name] - plain[name]).double().square().sum()) for name in plain)
    return float((off / sum(float(g.double().square().sum()) for g in plain.values())) ** 0.5)


@pytest.mark.parametrize("family", CONFIGS)
def test_each_family_gets_the_modules_that_compute_the_same(family: str) -> None:
    plain, lean = twins(family)
    kinds = [type(module) for module in lean.modules()]
    assert (kinds.count(LeanRMSNorm), kinds.count(LeanMLP)) == FOUND[family]
    assert list(lean.state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("family", CONFIGS)
def test_states_are_equal_to_the_bit_and_gradients_but_for_rounding(
    family: str, dtype: torch.dtype, bound: float
) -> None:
    plain, lean = twins(family, dtype)
    (expected, pulls), (found, own) = gradients(plain), gradients(lean)
    assert torch.equal(found, expected)
    if family.startswith("gemma") and dtype == torch.float64:
        bound = 1e-7  # its norms go through float32
    assert relative_difference(own, pulls) < bound


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2 with soft caps"])
def test_under_autocast_states_are_equal_and_gradients_as_near_to_float32(family: str) -> None:
    plain, lean = twins(family)
    _, exact = gradients(copy.deepcopy(plain))
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        (expected, pulls), (found, own) = gradients(plain), gradients(lean)
    assert torch.equal(found, expected)
    assert relative_difference(own, exact) < 1.2 * relative_difference(pulls, exact)


def test_results_are_lowered_only_where_nothing_but_a_product_reads_them() -> None:
    _, gemma = twins("gemma2 with soft caps")
    lowered = {name.split(".")[-1] for name, m in gemma.named_modules() if isinstance(m, LeanRMSNorm) and m.lowers}
    # What comes after attention and feed-forward part is added up, and the last norm's result is the answer.
    assert lowered == {"input_layernorm", "pre_feedforward_layernorm"}


class Doubling(nn.Module):
    """Has all that a norm has but its formula."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = 1e-6

    def forward(self, states: Tensor) -> Tensor:
        return 2.0 * states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def test_what_computes_something_else_stays() -> None:
    model = tiny_llama(tiny_tokenizer())
    odd = Doubling(model.config.hidden_size)
    model.model.layers[0].input_layernorm = odd
    model.model.layers[1].mlp.act_fn = nn.GELU()
    make_lean(model.base_model)
    assert model.model.layers[0].input_layernorm is odd
    assert isinstance(model.model.layers[1].input_layernorm, LeanRMSNorm)
    kinds = [isinstance(layer.mlp, LeanMLP) for layer in model.model.layers]
    assert kinds == [True, False]


def test_a_product_that_somebody_watches_or_that_adds_a_bias_is_asked_itself() -> None:
    plain, lean = twins("llama")
    for model in (plain, lean):
        for number, layer in enumerate(model.model.layers):
            down = layer.mlp.down_proj
            if number:
                down.register_forward_hook(lambda module, given, out: out * 2)
            else:
                down.bias = nn.Parameter(torch.ones(down.out_features))
    (expected, pulls), (found, own) = gradients(plain), gradients(lean)
    assert torch.equal(found, expected)
    assert relative_difference(own, pulls) < 1e-6


def test_what_goes_into_the_last_product_is_not_kept() -> None:
    _, lean = twins("llama")
    mlp = lean.model.layers[0].mlp
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        mlp(torch.randn(1, 5, lean.config.hidden_size))
    wide = [tensor for tensor in kept if tensor.shape == (1, 5, lean.config.intermediate_size)]
    assert len(wide) == 2  # gate and up


def test_checkpointed_blocks_with_lean_modules_give_the_same_gradients() -> None:
    _, lean = twins("llama")
    again = copy.deepcopy(lean)
    checkpoint_activations(again)
    (_, own), (_, other) = gradients(lean), gradients(again)
    assert all(torch.equal(own[name], other[name]) for name in own)


def test_norm_that_is_told_a_gate_stays_as_it_is() -> None:
    plain = build("granite hybrid")
    lean = copy.deepcopy(plain)
    make_lean(lean.base_model)
    with torch.no_grad():
        states, expected = (model(input_ids=IDS, use_cache=False).logits for model in (lean, plain))
    torch.testing.assert_close(states, expected)
    kinds = [type(module) for module in lean.modules()]
    assert kinds.count(LeanRMSNorm) == 5 and "GraniteMoeHybridRMSNormGated" in {kind.__name__ for kind in kinds}
