import pytest
import torch
from torch import nn

from boresight.models import head_logps as module
from boresight.models.head_logps import head_logps, is_matrix
from boresight.models.precision import QUANTUM
from boresight.objectives.logprobs import token_logps

VOCABULARY, WIDTH, TOKENS = 50, 8, 11


def head_and_states(bias: bool, dtype: torch.dtype = torch.float64) -> tuple[nn.Linear, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    head = nn.Linear(WIDTH, VOCABULARY, bias=bias).to(dtype)
    return head, torch.randn(TOKENS, WIDTH, dtype=dtype, requires_grad=True), torch.randint(VOCABULARY, (TOKENS,))


@pytest.mark.parametrize("rows_a_block", [TOKENS, 3, 1])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("bias", [False, True])
def test_value_and_every_gradient_are_those_of_the_plain_way(
    monkeypatch: pytest.MonkeyPatch, bias: bool, temperature: float, rows_a_block: int
) -> None:
    monkeypatch.setattr(module, "BLOCK", rows_a_block * VOCABULARY)
    head, states, targets = head_and_states(bias)
    grad = torch.randn(TOKENS, dtype=torch.float64)
    plain = token_logps(head(states), targets, temperature=temperature)
    fused = head_logps(states, head, targets, temperature=temperature)
    torch.testing.assert_close(fused, plain, rtol=1e-12, atol=1e-12)
    inputs = [states, *head.parameters()]
    expected = torch.autograd.grad(plain, inputs, grad)
    for found, wanted in zip(torch.autograd.grad(fused, inputs, grad), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rows_a_block", [TOKENS, 4])
def test_in_bfloat16_it_rounds_as_the_head_under_autocast_does(
    monkeypatch: pytest.MonkeyPatch, rows_a_block: int
) -> None:
    monkeypatch.setattr(module, "BLOCK", rows_a_block * VOCABULARY)
    head, states, targets = head_and_states(bias=False, dtype=torch.float32)
    assert TOKENS % QUANTUM  # so that there are rows of filling, which must change nothing
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        plain = token_logps(head(states), targets)
        fused = head_logps(states, head, targets)
        assert fused.dtype == torch.float32
        torch.testing.assert_close(fused, plain, rtol=1e-6, atol=1e-6)
        expected = torch.autograd.grad(plain.sum(), [states, head.weight])
        found = torch.autograd.grad(fused.sum(), [states, head.weight])
    for got, wanted in zip(found, expected, strict=True):
        assert got.dtype == torch.float32
        assert (got - wanted).norm() <= 1e-2 * wanted.norm()


def test_a_frozen_head_costs_no_gradient_of_its_weights() -> None:
    head, states, targets = head_and_states(bias=True)
    head.requires_grad_(False)
    head_logps(states, head, targets).sum().backward()
    assert states.grad is not None and head.weight.grad is None


def test_logits_of_many_tokens_are_never_held_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the graph keeps grows with tokens times hidden size, not with tokens times vocabulary."""
    monkeypatch.setattr(module, "BLOCK", 2 * VOCABULARY)
    head, states, targets = head_and_states(bias=False)
    kept: list[torch.Size] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        head_logps(states, head, targets)
    assert set(kept) == {states.shape, head.weight.shape, targets.shape}


def test_a_head_that_is_more_than_a_matrix_is_left_alone() -> None:
    class Scaled(nn.Linear):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(states)

    watched = nn.Linear(2, 3)
    watched.register_forward_hook(lambda *_: None)
    assert is_matrix(nn.Linear(2, 3))
    assert not is_matrix(Scaled(2, 3))
    assert not is_matrix(watched)
    assert not is_matrix(nn.Sequential(nn.Linear(2, 3)))


def test_a_temperature_of_zero_is_refused() -> None:
    head, states, targets = head_and_states(bias=False)
    with pytest.raises(ValueError, match="temperature is 0"):
        head_logps(states, head, targets, temperature=0.0)
