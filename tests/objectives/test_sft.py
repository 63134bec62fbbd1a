import pytest
import torch

from boresight.objectives.logprobs import token_logps
from boresight.objectives.sft import sft_loss

NAN = float("nan")


def test_summed_loss_and_its_gradient_are_those_of_cross_entropy_over_the_response():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[1, 2, 3, 0], [5, 0, 0, 0]])
    mask = torch.tensor([[False, True, True, True], [True, True, False, False]])
    loss = sft_loss(logp=token_logps(logits, targets, mask=mask), mask=mask)
    labels = targets.masked_fill(~mask, -100)
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none"
    ).view(2, 4)
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss.sum(), logits, retain_graph=True)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), logits)
    torch.testing.assert_close(gradient, expected_gradient)


def test_nan_under_the_mask_changes_neither_loss_nor_gradient():
    logp = torch.tensor([[-1.0, NAN], [NAN, -2.0]], requires_grad=True)
    loss = sft_loss(logp=logp, mask=torch.tensor([[True, False], [False, True]]))
    loss.sum().backward()
    assert loss.tolist() == [[1.0, 0.0], [0.0, 2.0]]
    assert logp.grad.tolist() == [[-1.0, 0.0], [0.0, -1.0]]


def test_micro_batches_divided_by_the_global_count_give_the_gradient_of_the_whole_batch():
    logp = -torch.rand(4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mask = torch.arange(5) < torch.tensor([5, 1, 3, 2]).unsqueeze(1)
    whole = sft_loss(logp=logp, mask=mask).sum() / mask.sum()
    parts = sum(sft_loss(logp=logp[i : i + 1], mask=mask[i : i + 1]).sum() / mask.sum() for i in range(4))
    torch.testing.assert_close(parts, whole)


def test_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\) but mask has shape \(2, 2\)"):
        sft_loss(logp=torch.zeros(2, 3), mask=torch.ones(2, 2, dtype=torch.bool))
