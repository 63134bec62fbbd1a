import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.objectives.orpo import log_odds, orpo_loss


def means(case: dict, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    names = ("policy_chosen_logp_mean", "policy_rejected_logp_mean")
    return {name: torch.tensor(case[name], dtype=dtype) for name in names}


@pytest.mark.parametrize("index", range(2))
def test_odds_ratio_term_equals_another_implementation(golden, index):
    case = golden["orpo"]["cases"][index]
    terms = orpo_loss(**means(case), odds_ratio_coefficient=case["odds_ratio_coefficient"])
    weighted = -case["odds_ratio_coefficient"] * terms.preference
    torch.testing.assert_close(weighted.tolist(), case["weighted_log_sigmoid"], rtol=0, atol=1e-6)
    assert -terms.preference.mean().item() == pytest.approx(case["mean_log_sigmoid"], abs=1e-6)
    assert terms.log_odds_ratio.mean().item() == pytest.approx(case["mean_log_odds_ratio"], abs=1e-6)
    torch.testing.assert_close(terms.loss, terms.nll - weighted)


def test_odds_ratio_near_certainty_equals_another_implementation_in_float32(golden):
    case = golden["orpo_near_certainty"]
    terms = orpo_loss(**means(case, torch.float32), odds_ratio_coefficient=1.0)
    torch.testing.assert_close((-terms.preference).tolist(), case["log_sigmoid"], rtol=1e-6, atol=1e-7)
    assert terms.log_odds_ratio.mean().item() == pytest.approx(case["mean_log_odds_ratio"], rel=1e-6)


@settings(deadline=None, max_examples=50)
@given(p=st.floats(0.001, 0.999))
def test_log_odds_are_those_of_the_probability(p):
    logp = torch.tensor(math.log(p), dtype=torch.float64)
    assert log_odds(logp).item() == pytest.approx(math.log(p / (1.0 - p)), abs=1e-9)


def test_log_odds_of_an_unlikely_response_are_its_log_probability():
    assert log_odds(torch.tensor(-200.0)).item() == -200.0


@pytest.mark.parametrize("chosen", [0.0, -1.0, -1e-20])
@pytest.mark.parametrize("rejected", [0.0, -1.0, -1e-20])
def test_certainty_leaves_loss_and_gradient_finite(chosen, rejected):
    chosen_mean, rejected_mean = (torch.tensor([value], requires_grad=True) for value in (chosen, rejected))
    terms = orpo_loss(
        policy_chosen_logp_mean=chosen_mean, policy_rejected_logp_mean=rejected_mean, odds_ratio_coefficient=0.1
    )
    terms.loss.sum().backward()
    for tensor in (terms.loss, terms.log_odds_ratio, chosen_mean.grad, rejected_mean.grad):
        assert torch.isfinite(tensor).all()


def test_swapping_chosen_and_rejected_negates_the_log_odds_ratio(golden):
    pair = means(golden["orpo"]["cases"][0])
    one = orpo_loss(**pair, odds_ratio_coefficient=0.1)
    other = orpo_loss(
        policy_chosen_logp_mean=pair["policy_rejected_logp_mean"],
        policy_rejected_logp_mean=pair["policy_chosen_logp_mean"],
        odds_ratio_coefficient=0.1,
    )
    assert torch.equal(one.log_odds_ratio, -other.log_odds_ratio)


def test_nll_is_that_of_the_chosen_response_unless_given(golden):
    pair = means(golden["orpo"]["cases"][0])
    default = orpo_loss(**pair, odds_ratio_coefficient=0.1)
    assert torch.equal(default.nll, -pair["policy_chosen_logp_mean"])
    whole_text = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    given_nll = orpo_loss(**pair, odds_ratio_coefficient=0.1, nll=whole_text)
    torch.testing.assert_close(given_nll.loss, whole_text + 0.1 * default.preference)


def test_gradients_are_exact_in_float64():
    chosen = torch.tensor([-0.01, -0.7, -3.0], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([-2.0, -0.3, -0.05], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda c, r: (
            orpo_loss(policy_chosen_logp_mean=c, policy_rejected_logp_mean=r, odds_ratio_coefficient=0.25).loss
        ),
        (chosen, rejected),
    )


def test_unequal_shapes_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"policy_chosen_logp_mean has shape \(2,\) but nll has shape \(2, 5\)"):
        orpo_loss(
            policy_chosen_logp_mean=torch.zeros(2),
            policy_rejected_logp_mean=torch.zeros(2),
            odds_ratio_coefficient=0.1,
            nll=torch.zeros(2, 5),
        )
