import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import pad

from boresight.objectives.kl import k1
from boresight.objectives.masking import masked_mean
from boresight.objectives.ppo import ppo_policy_loss, ppo_value_loss

NAN = float("nan")
properties = settings(deadline=None, max_examples=30)
seeds = st.integers(0, 2**32 - 1)


def random_batch(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    old_logp = -3.0 * torch.rand(3, 5, generator=generator, dtype=torch.float64)
    shift = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    mask = torch.arange(5) < torch.randint(1, 6, (3, 1), generator=generator)
    return {
        "policy_logp": old_logp + 0.5 * shift,
        "old_logp": old_logp,
        "advantage": torch.randn(3, 5, generator=generator, dtype=torch.float64),
        "mask": mask,
    }


def golden_batch(golden: dict) -> dict[str, torch.Tensor]:
    case, gae = golden["ppo_policy"], golden["gae"]
    return {
        "policy_logp": torch.tensor(case["policy_logp"], dtype=torch.float64),
        "old_logp": torch.tensor(case["old_logp"], dtype=torch.float64),
        "advantage": torch.tensor(gae["advantage"], dtype=torch.float64),
        "mask": torch.tensor(gae["mask"]).bool(),
    }


@pytest.mark.parametrize("with_dual_clip", [False, True])
def test_policy_loss_equals_two_other_implementations_in_both_reductions(golden, with_dual_clip):
    case, batch = golden["ppo_policy"], golden_batch(golden)
    terms = ppo_policy_loss(
        **batch, clip_range=case["clip_range"], dual_clip=case["dual_clip"] if with_dual_clip else None
    )
    mask = batch["mask"]
    assert masked_mean(terms.loss, mask).item() == pytest.approx(case["loss_token_mean"], abs=1e-6)
    mean_of_means = masked_mean(terms.loss, mask, 1).mean().item()
    assert mean_of_means == pytest.approx(case["loss_mean_of_response_means"], abs=1e-6)
    assert masked_mean(terms.clipped, mask).item() == pytest.approx(case["clip_fraction"], abs=1e-6)
    assert masked_mean(terms.dual_clipped, mask).item() == case["dual_clip_fraction"]
    old_to_new = k1(policy_logp=batch["old_logp"], reference_logp=batch["policy_logp"], mask=mask)
    assert masked_mean(old_to_new, mask).item() == pytest.approx(case["k1_old_to_new"], abs=1e-6)
    torch.testing.assert_close(terms.approximate_kl, 0.5 * old_to_new.square())


def test_value_loss_equals_another_implementation(golden):
    case, gae = golden["ppo_value"], golden["gae"]
    mask = torch.tensor(gae["mask"]).bool()
    terms = ppo_value_loss(
        value=torch.tensor(case["value"], dtype=torch.float64),
        old_value=torch.tensor(gae["values"], dtype=torch.float64),
        target=torch.tensor(gae["target"], dtype=torch.float64),
        mask=mask,
        clip_range=case["clip_range"],
    )
    assert masked_mean(terms.loss, mask).item() == pytest.approx(case["loss_token_mean"], abs=1e-6)


@properties
@given(seed=seeds)
def test_at_ratio_one_the_gradient_is_the_policy_gradient(seed):
    batch = random_batch(seed)
    batch["policy_logp"] = batch["old_logp"].clone().requires_grad_()
    terms = ppo_policy_loss(**batch, clip_range=0.2, dual_clip=3.0)
    (gradient,) = torch.autograd.grad(terms.loss.sum(), batch["policy_logp"])
    torch.testing.assert_close(gradient, -batch["advantage"] * batch["mask"])
    assert (terms.ratio == 1).all()
    assert (terms.approximate_kl == 0).all()
    assert not terms.clipped.any()
    assert not terms.dual_clipped.any()


@properties
@given(seed=seeds)
def test_gradient_vanishes_exactly_where_a_token_is_clipped(seed):
    batch = random_batch(seed)
    batch["policy_logp"].requires_grad_()
    terms = ppo_policy_loss(**batch, clip_range=0.2)
    (gradient,) = torch.autograd.grad(terms.loss.sum(), batch["policy_logp"])
    gains = batch["advantage"] > 0
    beyond = torch.where(gains, terms.ratio > 1.2, terms.ratio < 0.8) & batch["mask"]
    assert torch.equal(terms.clipped, beyond)
    assert torch.equal(gradient == 0, terms.clipped | ~batch["mask"])


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "loss", "clipped", "dual_clipped"),
    [
        (math.log(1.5), 2.0, -2.4, True, False),  # gain, gone too far: 1.2 * 2
        (math.log(0.5), 2.0, -1.0, False, False),  # gain, not there yet: the plain ratio
        (math.log(0.5), -2.0, 1.6, True, False),  # loss, gone too far: 0.8 * 2
        (math.log(1.5), -2.0, 3.0, False, False),  # loss, wrong way: the plain ratio pulls it back
        (math.log(5.0), -2.0, 6.0, False, True),  # loss, far the wrong way: bounded by the dual clip, 3 * 2
    ],
)
def test_clipped_surrogate_by_hand(log_ratio, advantage, loss, clipped, dual_clipped):
    terms = ppo_policy_loss(
        policy_logp=torch.tensor([[log_ratio - 1.0]], dtype=torch.float64),
        old_logp=torch.tensor([[-1.0]], dtype=torch.float64),
        advantage=torch.tensor([[advantage]], dtype=torch.float64),
        mask=torch.ones(1, 1, dtype=torch.bool),
        clip_range=0.2,
        dual_clip=3.0,
    )
    assert terms.loss.item() == pytest.approx(loss)
    assert (terms.clipped.item(), terms.dual_clipped.item()) == (clipped, dual_clipped)


@properties
@given(seed=seeds, extra=st.integers(0, 3))
def test_nan_under_the_mask_and_more_padding_change_neither_loss_nor_gradient(seed, extra):
    batch = random_batch(seed)
    mask = batch.pop("mask")
    outcomes = []
    for width, fill in ((0, 0.0), (extra, NAN)):
        tensors = {name: pad(t.masked_fill(~mask, fill), (0, width), value=fill) for name, t in batch.items()}
        tensors["policy_logp"].requires_grad_()
        terms = ppo_policy_loss(**tensors, mask=pad(mask, (0, width)), clip_range=0.2, dual_clip=3.0)
        (gradient,) = torch.autograd.grad(terms.loss.sum(), tensors["policy_logp"])
        outcomes.append([tensor[:, :5] for tensor in (*terms, gradient)])
        assert torch.isfinite(torch.cat([terms.loss, gradient, terms.ratio, terms.approximate_kl])).all()
    for clean, dirty in zip(*outcomes, strict=True):
        assert torch.equal(clean, dirty)


@properties
@given(seed=seeds)
def test_splitting_the_batch_changes_nothing(seed):
    batch = random_batch(seed)
    whole = ppo_policy_loss(**batch, clip_range=0.2).loss
    parts = [ppo_policy_loss(**{k: t[i : i + 1] for k, t in batch.items()}, clip_range=0.2).loss for i in range(3)]
    assert torch.equal(whole, torch.cat(parts))


def test_old_log_probability_and_advantage_get_no_gradient():
    batch = random_batch(0)
    for name in ("policy_logp", "old_logp", "advantage"):
        batch[name].requires_grad_()
    terms = ppo_policy_loss(**batch, clip_range=0.2)
    terms.loss.sum().backward()
    assert batch["policy_logp"].grad is not None
    assert batch["old_logp"].grad is None
    assert batch["advantage"].grad is None
    assert not terms.ratio.requires_grad
    assert not terms.approximate_kl.requires_grad


def test_gradients_are_exact_in_float64():
    batch = random_batch(1)
    policy_logp = batch.pop("policy_logp").requires_grad_()
    assert torch.autograd.gradcheck(
        lambda logp: ppo_policy_loss(policy_logp=logp, **batch, clip_range=0.2, dual_clip=1.5).loss, (policy_logp,)
    )
    value = batch["advantage"].clone().requires_grad_()
    others = {"old_value": batch["old_logp"], "target": policy_logp.detach(), "mask": batch["mask"]}
    assert torch.autograd.gradcheck(lambda v: ppo_value_loss(value=v, **others, clip_range=0.2).loss, (value,))


def test_value_loss_is_half_the_square_and_clipping_can_only_raise_it():
    value, old = torch.tensor([[3.0, 3.0, NAN]], requires_grad=True), torch.tensor([[2.0, 2.0, NAN]])
    target, mask = torch.tensor([[4.0, 2.0, NAN]]), torch.tensor([[True, True, False]])
    plain = ppo_value_loss(value=value, old_value=old, target=target, mask=mask, clip_range=None)
    assert plain.loss.tolist() == [[0.5, 0.5, 0.0]]
    assert not plain.clipped.any()
    clipped = ppo_value_loss(value=value, old_value=old, target=target, mask=mask, clip_range=0.5)
    # Clipped value 2.5: error 1.5 where the target is 4 (held back), 0.5 where it is 2 (the plain error counts).
    assert clipped.loss.tolist() == [[1.125, 0.5, 0.0]]
    assert clipped.clipped.tolist() == [[True, False, False]]
    clipped.loss.sum().backward()
    assert value.grad.tolist() == [[0.0, 1.0, 0.0]]


@pytest.mark.parametrize("bound", [1.0, 0.5])
def test_a_dual_clip_that_is_no_bound_is_refused(bound):
    with pytest.raises(ValueError, match=f"dual_clip is {bound}; expected a bound on the ratio above 1, or None"):
        ppo_policy_loss(**random_batch(0), clip_range=0.2, dual_clip=bound)


def test_unequal_shapes_and_float_masks_are_refused():
    batch = random_batch(0)
    with pytest.raises(ValueError, match=r"policy_logp has shape \(3, 5\) but advantage has shape \(3,\)"):
        ppo_policy_loss(**batch | {"advantage": torch.zeros(3)}, clip_range=0.2)
    with pytest.raises(ValueError, match=r"mask has dtype torch.float64; expected torch.bool"):
        ppo_policy_loss(**batch | {"mask": batch["mask"].double()}, clip_range=0.2)
    with pytest.raises(ValueError, match=r"value has shape \(2,\) but target has shape \(3,\)"):
        ppo_value_loss(
            value=torch.zeros(2),
            old_value=torch.zeros(2),
            target=torch.zeros(3),
            mask=torch.ones(2, dtype=torch.bool),
            clip_range=0.2,
        )
