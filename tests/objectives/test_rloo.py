import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import pad

from boresight.objectives.rloo import leave_one_out_advantage, rloo_loss

NAN = float("nan")
properties = settings(deadline=None, max_examples=30)
seeds = st.integers(0, 2**32 - 1)


def random_batch(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    old_logp = -torch.rand(4, 5, generator=generator, dtype=torch.float64)
    return {
        "policy_logp": old_logp + 0.2 * torch.randn(4, 5, generator=generator, dtype=torch.float64),
        "old_logp": old_logp,
        "advantage": torch.randn(4, generator=generator, dtype=torch.float64),
        "mask": torch.arange(5) < torch.randint(1, 6, (4, 1), generator=generator),
    }


@properties
@given(seed=seeds, responses=st.integers(2, 6))
def test_advantage_is_the_reward_minus_the_mean_of_the_others(seed, responses):
    reward = torch.randn(3, responses, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    advantage = leave_one_out_advantage(reward)
    for prompt in range(3):
        for i in range(responses):
            others = [reward[prompt, j].item() for j in range(responses) if j != i]
            expected = reward[prompt, i].item() - sum(others) / len(others)
            assert advantage[prompt, i].item() == pytest.approx(expected, abs=1e-12)


@properties
@given(seed=seeds, shift=st.floats(-100.0, 100.0))
def test_a_reward_shift_for_one_prompt_changes_nothing_and_rows_sum_to_zero(seed, shift):
    reward = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    moved = reward.clone()
    moved[1] += shift
    advantage = leave_one_out_advantage(reward)
    torch.testing.assert_close(leave_one_out_advantage(moved), advantage, rtol=0, atol=1e-12)
    torch.testing.assert_close(advantage.sum(1), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)


@properties
@given(seed=seeds)
def test_at_ratio_one_the_gradient_is_reinforce(seed):
    batch = random_batch(seed)
    batch["policy_logp"] = batch["old_logp"].clone().requires_grad_()
    terms = rloo_loss(**batch, clip_range=0.2)
    (gradient,) = torch.autograd.grad(terms.loss.sum(), batch["policy_logp"])
    torch.testing.assert_close(gradient, -batch["advantage"].unsqueeze(1) * batch["mask"])
    assert (terms.ratio == 1).all()
    assert not terms.clipped.any()


def test_the_ratio_is_that_of_the_whole_response_and_is_clipped_as_one():
    terms = rloo_loss(
        policy_logp=torch.tensor([[-1.0, -1.0, NAN], [-1.0, -1.0, -1.0]]),
        old_logp=torch.tensor([[-1.1, -1.2, NAN], [-1.0, -1.0, -1.1]]),
        advantage=torch.tensor([2.0, -3.0]),
        mask=torch.tensor([[True, True, False], [True, True, True]]),
        clip_range=0.2,
    )
    torch.testing.assert_close(terms.ratio, torch.tensor([math.exp(0.3), math.exp(0.1)]))
    torch.testing.assert_close(terms.loss, torch.tensor([-2.0 * 1.2, 3.0 * math.exp(0.1)]))
    assert terms.clipped.tolist() == [True, False]
    torch.testing.assert_close(terms.approximate_kl, torch.tensor([[0.005, 0.02, 0.0], [0.0, 0.0, 0.005]]))


@properties
@given(seed=seeds, extra=st.integers(0, 3))
def test_nan_under_the_mask_and_more_padding_change_neither_loss_nor_gradient(seed, extra):
    batch = random_batch(seed)
    advantage, mask = batch.pop("advantage"), batch.pop("mask")
    outcomes = []
    for width, fill in ((0, 0.0), (extra, NAN)):
        tensors = {name: pad(t.masked_fill(~mask, fill), (0, width), value=fill) for name, t in batch.items()}
        tensors["policy_logp"].requires_grad_()
        terms = rloo_loss(**tensors, advantage=advantage, mask=pad(mask, (0, width)), clip_range=0.2)
        (gradient,) = torch.autograd.grad(terms.loss.sum(), tensors["policy_logp"])
        outcomes.append([terms.loss, terms.ratio, terms.approximate_kl[:, :5], gradient[:, :5]])
        assert (gradient[:, 5:] == 0).all()
    for clean, dirty in zip(*outcomes, strict=True):
        torch.testing.assert_close(clean, dirty, rtol=1e-14, atol=0)


def test_a_response_without_tokens_adds_nothing():
    batch = random_batch(0)
    batch["mask"][2] = False
    terms = rloo_loss(**batch, clip_range=0.2)
    assert terms.loss[2] == 0
    assert (terms.loss[[0, 1, 3]] != 0).all()


def test_gradients_are_exact_in_float64():
    batch = random_batch(1)
    policy_logp = batch.pop("policy_logp").requires_grad_()
    assert torch.autograd.gradcheck(
        lambda logp: rloo_loss(policy_logp=logp, **batch, clip_range=0.2).loss, (policy_logp,)
    )


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_rewards_without_a_group_are_refused(shape):
    with pytest.raises(
        ValueError, match=rf"reward has shape {re.escape(str(shape))}; expected \(prompts, responses_per_p"
    ):
        leave_one_out_advantage(torch.zeros(shape))


def test_one_advantage_a_token_is_refused():
    batch = random_batch(0) | {"advantage": torch.zeros(4, 5)}
    with pytest.raises(ValueError, match=r"advantage has shape \(4, 5\) but mask has shape \(4, 5\); .*one a response"):
        rloo_loss(**batch, clip_range=0.2)
