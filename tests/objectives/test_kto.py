import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.objectives.kto import kto_baseline, kto_loss

properties = settings(deadline=None, max_examples=30)
seeds = st.integers(0, 2**32 - 1)


def random_responses(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    policy, reference = -20.0 * torch.rand(2, 6, generator=generator, dtype=torch.float64)
    return {
        "policy_logp_sum": policy,
        "reference_logp_sum": reference,
        "desirable": torch.rand(6, generator=generator) < 0.5,
        "baseline": torch.rand((), generator=generator, dtype=torch.float64),
    }


def test_losses_by_hand():
    # beta (r - z) = 0.5 (2 ln 3 + 1 - 1) = ln 3 in every case, and sigmoid(ln 3) = 3/4.
    ratio = torch.tensor([2.0 * math.log(3.0) + 1.0] * 2, dtype=torch.float64)
    terms = kto_loss(
        policy_logp_sum=ratio - 7.0,
        reference_logp_sum=torch.full_like(ratio, -7.0),
        desirable=torch.tensor([True, False]),
        baseline=torch.tensor(1.0),
        beta=0.5,
        desirable_weight=2.0,
        undesirable_weight=3.0,
    )
    assert terms.loss.tolist() == pytest.approx([2.0 * 0.25, 3.0 * 0.75])
    assert terms.reward.tolist() == pytest.approx([math.log(3.0) + 0.5] * 2)


@properties
@given(seed=seeds, beta=st.floats(0.01, 2.0))
def test_loss_is_half_its_weight_when_policy_equals_reference(seed, beta):
    responses = random_responses(seed)
    responses |= {"reference_logp_sum": responses["policy_logp_sum"], "baseline": torch.tensor(0.0)}
    terms = kto_loss(**responses, beta=beta, desirable_weight=3.0, undesirable_weight=5.0)
    torch.testing.assert_close(terms.loss, torch.where(responses["desirable"], 1.5, 2.5).double())
    assert (terms.reward == 0).all()


@properties
@given(seed=seeds)
def test_turning_the_verdict_and_the_log_ratio_keeps_the_loss(seed):
    one = random_responses(seed)
    above = one["policy_logp_sum"] - one["reference_logp_sum"] - one["baseline"]
    other = one | {
        "policy_logp_sum": one["reference_logp_sum"] + one["baseline"] - above,
        "desirable": ~one["desirable"],
    }
    torch.testing.assert_close(kto_loss(**one, beta=0.3).loss, kto_loss(**other, beta=0.3).loss)


def test_far_from_the_baseline_the_loss_is_exact_and_the_gradient_gone():
    policy = torch.tensor([500.0, -500.0, 500.0, -500.0], requires_grad=True)
    terms = kto_loss(
        policy_logp_sum=policy,
        reference_logp_sum=torch.zeros(4),
        desirable=torch.tensor([True, True, False, False]),
        baseline=torch.tensor(0.0),
        beta=1.0,
    )
    terms.loss.sum().backward()
    assert terms.loss.tolist() == [0.0, 1.0, 1.0, 0.0]
    assert policy.grad.tolist() == [0.0] * 4


def test_gradients_are_exact_in_float64_and_reach_the_policy_alone():
    responses = random_responses(3)
    policy = responses.pop("policy_logp_sum").requires_grad_()
    responses["reference_logp_sum"].requires_grad_()
    responses["baseline"].requires_grad_()
    assert torch.autograd.gradcheck(lambda p: kto_loss(policy_logp_sum=p, **responses, beta=0.2).loss, (policy,))
    kto_loss(policy_logp_sum=policy, **responses, beta=0.2).loss.sum().backward()
    assert responses["reference_logp_sum"].grad is None and responses["baseline"].grad is None


def test_baseline_is_the_mean_log_ratio_and_never_below_zero():
    policy, reference = torch.tensor([-3.0, -4.0], requires_grad=True), torch.tensor([-5.0, -5.0])
    baseline = kto_baseline(policy_logp_sum=policy, reference_logp_sum=reference)
    assert baseline.item() == 1.5 and not baseline.requires_grad
    assert kto_baseline(policy_logp_sum=reference, reference_logp_sum=policy).item() == 0.0
    assert kto_baseline(policy_logp_sum=torch.zeros(0), reference_logp_sum=torch.zeros(0)).item() == 0.0


def test_unequal_shapes_and_verdicts_that_are_no_booleans_are_refused():
    responses = random_responses(0)
    with pytest.raises(ValueError, match=r"policy_logp_sum has shape \(6,\) but reference_logp_sum has shape \(5,\)"):
        kto_loss(**responses | {"reference_logp_sum": torch.zeros(5)}, beta=0.1)
    with pytest.raises(ValueError, match=r"expected torch\.bool"):
        kto_loss(**responses | {"desirable": torch.ones(6)}, beta=0.1)
