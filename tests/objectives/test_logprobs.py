import math

import pytest
import torch

from boresight.objectives.logprobs import entropy, log1mexp, logp_mean, logp_sum, token_logps

NAN = float("nan")


def test_response_logps_equal_those_of_two_other_implementations(golden):
    case = golden["response_logps"]
    logits = torch.tensor(case["logits"], dtype=torch.float64)[:, :-1]
    labels = torch.tensor(case["labels"])[:, 1:]
    mask = labels != -100
    logp = token_logps(logits, labels, mask=mask)
    torch.testing.assert_close(logp_sum(logp, mask).tolist(), case["sum"], rtol=1e-6, atol=0)
    torch.testing.assert_close(logp_mean(logp, mask).tolist(), case["mean"], rtol=1e-6, atol=0)


def test_entropy_equals_that_of_another_implementation(golden):
    logits = torch.tensor(golden["response_logps"]["logits"], dtype=torch.float64)
    torch.testing.assert_close(entropy(logits).flatten().tolist(), golden["entropy"]["nats"], rtol=1e-6, atol=0)


def test_log1mexp_equals_that_of_another_implementation(golden):
    y = log1mexp(torch.tensor(golden["log1mexp"]["x"], dtype=torch.float32))
    torch.testing.assert_close(y.tolist(), golden["log1mexp"]["y"], rtol=1e-6, atol=1e-7)


def test_probabilities_of_all_targets_sum_to_one_at_any_temperature():
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for temperature in (0.3, 1.0, 2.5):
        logps = torch.stack(
            [token_logps(logits, torch.full((4,), token), temperature=temperature) for token in range(6)]
        )
        torch.testing.assert_close(logps.exp().sum(0), torch.ones(4, dtype=torch.float64))
        by_hand = torch.softmax(logits / temperature, -1)
        torch.testing.assert_close(logps.exp().T, by_hand)
        torch.testing.assert_close(entropy(logits, temperature=temperature), torch.special.entr(by_hand).sum(-1))


def test_nan_logits_and_impossible_targets_under_the_mask_change_nothing():
    clean = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets = torch.tensor([[0, 4, 2], [1, 3, 0]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    outcomes = []
    for logits, ids in (
        (clean, targets),
        (clean.masked_fill(~mask.unsqueeze(-1), NAN), targets.masked_fill(~mask, -100)),
    ):
        logits = logits.clone().requires_grad_()
        logp, nats = token_logps(logits, ids, mask=mask), entropy(logits, mask=mask)
        (logp * nats).sum().backward()
        outcomes.append((logp.detach(), nats.detach(), logits.grad))
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=0, atol=0)
    assert (outcomes[1][0][~mask] == 0).all()
    assert (outcomes[1][2][~mask] == 0).all()


def test_half_precision_logits_are_computed_in_float32():
    logits = torch.randn(8, 50, generator=torch.Generator().manual_seed(2)).to(torch.bfloat16)
    targets = torch.arange(8)
    logp = token_logps(logits, targets)
    assert logp.dtype == torch.float32
    exact = torch.log_softmax(logits.double(), -1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(logp.double(), exact, rtol=1e-6, atol=1e-6)


def test_tokens_ruled_out_by_minus_infinity_add_no_entropy_and_no_nan_gradient():
    logits = torch.tensor([1.0, 1.0, -math.inf], dtype=torch.float64, requires_grad=True)
    nats = entropy(logits)
    nats.backward()
    torch.testing.assert_close(nats.item(), math.log(2.0))
    assert torch.isfinite(logits.grad).all()


def test_entropy_is_log_vocabulary_where_all_tokens_are_as_likely():
    torch.testing.assert_close(entropy(torch.zeros(3, 7)), torch.full((3,), math.log(7.0)))


def test_log1mexp_keeps_its_gradient_finite_on_both_sides_of_the_switch():
    x = torch.tensor([-1e-12, -1e-3, -math.log(2.0), -1.0, -50.0, -800.0], dtype=torch.float64, requires_grad=True)
    log1mexp(x).sum().backward()
    # d/dx log(1 - e^x) = -e^x / (1 - e^x) = -1 / (e^-x - 1)
    expected = torch.tensor([-1.0 / math.expm1(-v) if v > -700 else 0.0 for v in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(x.grad, expected, rtol=1e-9, atol=1e-300)


def test_log1mexp_keeps_its_gradient_where_float32_rounds_the_probability_to_one():
    x = torch.tensor([-1e-9, -1e-30], requires_grad=True)
    log1mexp(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([-1e9, -1e30]))  # -1 / (e^-x - 1)


def test_log1mexp_at_certainty_is_minus_infinity():
    assert log1mexp(torch.tensor(0.0)).item() == -math.inf


def test_gradients_are_exact_in_float64():
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 3, 1])
    assert torch.autograd.gradcheck(lambda z: token_logps(z, targets, temperature=0.7), (logits,))
    assert torch.autograd.gradcheck(lambda z: entropy(z, temperature=0.7), (logits,))


def test_targets_of_another_shape_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"logits has shape \(2, 3, 5\) but targets has shape \(2, 4\).*\(2, 3\)"):
        token_logps(torch.zeros(2, 3, 5), torch.zeros(2, 4, dtype=torch.long))


@pytest.mark.parametrize("temperature", [0.0, -1.0, NAN])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature):
    with pytest.raises(ValueError, match=f"temperature is {temperature}; expected a number above 0"):
        entropy(torch.zeros(2, 3), temperature=temperature)
