import math

import pytest
import torch

from boresight.objectives.kl import adapt_kl_coefficient, k1, k2, k3, kl_estimate, kl_exact

NAN = float("nan")


def distributions(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    policy = torch.randn(6, generator=generator, dtype=torch.float64)
    return policy, policy + 0.5 * torch.randn(6, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_estimators_equal_those_of_another_implementation(golden, estimator):
    case = golden["kl"]
    policy = torch.tensor(golden["ppo_policy"]["old_logp"], dtype=torch.float64)
    reference = torch.tensor(case["reference_logp"], dtype=torch.float64)
    estimate = kl_estimate(policy_logp=policy, reference_logp=reference, estimator=estimator)
    torch.testing.assert_close(estimate.tolist(), case[estimator], rtol=0, atol=1e-7)


def test_adaptive_coefficient_follows_another_implementation(golden):
    case, coefficient = golden["adaptive_kl"], golden["adaptive_kl"]["start"]
    for kl, expected in zip(case["kl_per_sequence"], case["coefficient"], strict=True):
        coefficient = adapt_kl_coefficient(
            coefficient,
            kl_per_sequence=kl,
            target_kl_per_sequence=case["target"],
            responses=case["responses"],
            horizon=case["horizon"],
        )
        assert coefficient == pytest.approx(expected, rel=1e-8)


def test_exact_kl_equals_the_sum_written_out_by_hand():
    p, q = [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]
    # 0.5 ln 2 + 0 - 0.25 ln 2
    kl = kl_exact(policy_logits=torch.tensor(p).log(), reference_logits=torch.tensor(q).log())
    assert kl.item() == pytest.approx(0.25 * math.log(2.0), rel=1e-6)


def test_k1_and_k3_have_the_exact_kl_as_their_expectation_under_the_policy():
    policy, reference = distributions()
    logp, reference_logp = policy.log_softmax(-1), reference.log_softmax(-1)
    exact = kl_exact(policy_logits=policy, reference_logits=reference)
    for estimator in (k1, k3):
        expectation = (logp.exp() * estimator(policy_logp=logp, reference_logp=reference_logp)).sum()
        torch.testing.assert_close(expectation, exact, rtol=1e-12, atol=1e-14)
    assert abs((logp.exp() * k2(policy_logp=logp, reference_logp=reference_logp)).sum() - exact) > 1e-4


def test_gradient_of_k2_is_that_of_the_kl_and_gradient_of_k1_is_zero_in_expectation():
    policy, reference = distributions()
    policy.requires_grad_()
    (exact_gradient,) = torch.autograd.grad(kl_exact(policy_logits=policy, reference_logits=reference), policy)
    expected_gradient = {}
    for estimator in (k1, k2, k3):
        logp = policy.log_softmax(-1)
        weighted = logp.detach().exp() * estimator(policy_logp=logp, reference_logp=reference.log_softmax(-1))
        (expected_gradient[estimator],) = torch.autograd.grad(weighted.sum(), policy)
    torch.testing.assert_close(expected_gradient[k2], exact_gradient, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(expected_gradient[k1], torch.zeros_like(policy), rtol=0, atol=1e-14)
    assert (expected_gradient[k3] - exact_gradient).abs().max() > 1e-3


def test_k3_is_never_negative_and_all_are_zero_where_policy_and_reference_agree():
    logp = -torch.rand(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    other = -torch.rand(100, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert (k3(policy_logp=logp, reference_logp=other) >= 0).all()
    assert (k1(policy_logp=logp, reference_logp=other) < 0).any()
    for estimator in (k1, k2, k3):
        assert (estimator(policy_logp=logp, reference_logp=logp) == 0).all()


def test_tiny_differences_do_not_cancel_in_float32():
    policy, reference = torch.tensor([-2.0]), torch.tensor([-2.0 - 2.0**-12])
    expected = math.expm1(-(2.0**-12)) + 2.0**-12  # 2.98e-8; exp(x) - 1 - x in float32 would give 0
    assert k3(policy_logp=policy, reference_logp=reference).item() == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("estimator", [k1, k2, k3])
def test_nan_under_the_mask_changes_neither_estimate_nor_gradient(estimator):
    mask = torch.tensor([True, False, True])
    policy = torch.tensor([-1.0, NAN, -2.0], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([-1.5, NAN, -1.0], dtype=torch.float64)
    estimate = estimator(policy_logp=policy, reference_logp=reference, mask=mask)
    estimate.square().sum().backward()
    assert estimate[1] == 0
    assert policy.grad[1] == 0
    assert (policy.grad[[0, 2]] != 0).all()
    torch.testing.assert_close(
        estimate[mask], estimator(policy_logp=policy[mask], reference_logp=reference[mask]), rtol=0, atol=0
    )


def test_exact_kl_under_the_mask_and_with_impossible_tokens():
    policy = torch.tensor([[0.0, 0.0, -math.inf], [NAN, NAN, NAN]], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([[0.0, 0.0, 0.0], [NAN, NAN, NAN]], dtype=torch.float64)
    kl = kl_exact(policy_logits=policy, reference_logits=reference, mask=torch.tensor([True, False]))
    kl.sum().backward()
    assert kl.tolist() == pytest.approx([math.log(1.5), 0.0])
    assert torch.isfinite(policy.grad).all()
    reverse = kl_exact(policy_logits=reference[:1], reference_logits=policy[:1].detach())
    assert reverse.item() == math.inf


def test_gradients_are_exact_in_float64():
    policy, reference = distributions()
    policy.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: kl_exact(policy_logits=z, reference_logits=reference, temperature=0.8), (policy,)
    )
    assert torch.autograd.gradcheck(lambda z: k3(policy_logp=z, reference_logp=reference), (policy,))


def test_coefficient_rises_above_target_falls_below_it_and_rests_on_it():
    def step(kl: float) -> float:
        return adapt_kl_coefficient(0.1, kl_per_sequence=kl, target_kl_per_sequence=6.0, responses=100, horizon=1000.0)

    assert step(6.0) == 0.1
    assert step(6.6) == pytest.approx(0.101)
    assert step(60.0) == pytest.approx(0.102)  # error bounded at 0.2
    assert step(-5.0) == pytest.approx(0.098)


@pytest.mark.parametrize(
    ("kl", "target", "horizon", "message"),
    [
        (NAN, 6.0, 100.0, "kl_per_sequence is nan; expected a finite number of nats a response"),
        (1.0, 0.0, 100.0, "target_kl_per_sequence is 0.0 and horizon is 100.0; both must be above 0"),
        (1.0, 6.0, -1.0, "target_kl_per_sequence is 6.0 and horizon is -1.0; both must be above 0"),
        (1.0, 6.0, 2.0, "horizon is 2.0 responses, and the batch has 10; expected more than 2, or the coefficient"),
    ],
)
def test_a_controller_without_sense_is_refused(kl, target, horizon, message):
    with pytest.raises(ValueError, match=message):
        adapt_kl_coefficient(0.1, kl_per_sequence=kl, target_kl_per_sequence=target, responses=10, horizon=horizon)


def test_an_unknown_estimator_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match="KL estimator is 'k4'; expected one of k1, k2, k3"):
        kl_estimate(policy_logp=torch.zeros(1), reference_logp=torch.zeros(1), estimator="k4")


def test_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match=r"policy_logp has shape \(2, 3\) but reference_logp has shape \(3,\)"):
        k1(policy_logp=torch.zeros(2, 3), reference_logp=torch.zeros(3))
