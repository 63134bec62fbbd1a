import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.objectives.masking import fill_masked, masked_mean, masked_sum, masked_variance, masked_whiten

NAN = float("nan")


def random_case(seed: int, rows: int = 3, tokens: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, tokens, generator=generator, dtype=torch.float64)
    mask = torch.rand(rows, tokens, generator=generator) < 0.6
    mask[:, 0] = True
    return values, mask


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_results_equal_those_of_the_counting_elements_alone(seed):
    values, mask = random_case(seed)
    kept = values[mask]
    torch.testing.assert_close(masked_sum(values, mask), kept.sum())
    torch.testing.assert_close(masked_mean(values, mask), kept.mean())
    torch.testing.assert_close(masked_variance(values, mask), kept.var(correction=0))
    torch.testing.assert_close(masked_variance(values, mask, unbiased=True), kept.var(correction=1))
    for row in range(len(values)):
        torch.testing.assert_close(masked_mean(values, mask, 1)[row], values[row][mask[row]].mean())
        torch.testing.assert_close(masked_sum(values, mask, 1)[row], values[row][mask[row]].sum())


@pytest.mark.parametrize(
    "function",
    [
        lambda values, mask: masked_sum(values, mask, 1),
        lambda values, mask: masked_mean(values, mask, 1),
        lambda values, mask: masked_variance(values, mask),
        lambda values, mask: masked_whiten(values, mask, shift_mean=True),
        lambda values, mask: masked_whiten(values, mask, shift_mean=False, unbiased=True),
    ],
    ids=["sum", "mean", "variance", "whiten shifted", "whiten unshifted"],
)
def test_nan_under_the_mask_changes_neither_result_nor_gradient(function):
    clean, mask = random_case(0)
    outcomes = []
    for values in (clean, clean.masked_fill(~mask, NAN)):
        values = values.clone().requires_grad_()
        result = function(values, mask)
        result.square().sum().backward()
        outcomes.append((result.detach(), values.grad))
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=0, atol=0)
    assert (outcomes[1][1][~mask] == 0).all()


def test_mean_of_nothing_is_nan_and_sum_of_nothing_is_zero():
    values, mask = torch.ones(2, 3), torch.tensor([[True, True, False], [False, False, False]])
    assert masked_sum(values, mask, 1).tolist() == [2.0, 0.0]
    assert masked_mean(values, mask, 1)[0] == 1.0
    assert masked_mean(values, mask, 1)[1].isnan()


def test_sums_of_half_precision_are_taken_in_float32():
    values = torch.full((1, 4096), 1.0, dtype=torch.bfloat16)  # a bfloat16 sum would stick at 256
    assert masked_sum(values, torch.ones(1, 4096, dtype=torch.bool)).item() == 4096.0


@pytest.mark.parametrize(
    ("name", "options", "use_mask"),
    [
        ("biased_keep_mean_no_mask", {"shift_mean": False}, False),
        ("biased_keep_mean", {"shift_mean": False}, True),
        ("biased_shift_mean", {"shift_mean": True}, True),
        ("unbiased_keep_mean", {"shift_mean": False, "unbiased": True}, True),
    ],
)
def test_whitening_gives_the_published_numbers(golden, name, options, use_mask):
    case = golden["whiten"]
    x = torch.tensor(case["x"], dtype=torch.float64).view(3, 3)
    mask = torch.tensor(case["mask"], dtype=torch.bool) if use_mask else torch.ones(3, 3, dtype=torch.bool)
    expected = torch.tensor(case[name]["y"], dtype=torch.float64).view(3, 3)
    whitened = masked_whiten(x, mask, **options)
    torch.testing.assert_close(whitened[mask], expected[mask], rtol=0, atol=2e-6)
    assert (whitened[~mask] == 0).all()


def test_whitened_values_have_mean_zero_or_their_own_and_variance_one():
    values, mask = random_case(3)
    shifted, kept = masked_whiten(values, mask, shift_mean=True), masked_whiten(values, mask, shift_mean=False)
    torch.testing.assert_close(masked_mean(shifted, mask).item(), 0.0, rtol=0, atol=1e-12)
    torch.testing.assert_close(masked_mean(kept, mask), masked_mean(values, mask))
    for whitened in (shifted, kept):
        torch.testing.assert_close(masked_variance(whitened, mask).item(), 1.0, rtol=1e-6, atol=0)


def test_fill_masked_refuses_another_shape():
    with pytest.raises(ValueError, match=r"values has shape \(2, 3\) but mask has shape \(2, 1\)"):
        fill_masked(torch.zeros(2, 3), torch.ones(2, 1, dtype=torch.bool))
