import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import pad

from boresight.objectives.advantages import explained_variance, gae, kl_shaped_reward, last_token

NAN = float("nan")
properties = settings(deadline=None, max_examples=30)
seeds = st.integers(0, 2**32 - 1)
fractions = st.floats(0.0, 1.0)


def random_rollout(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rewards, values and a mask with holes and padding, (4, 6)."""
    generator = torch.Generator().manual_seed(seed)
    rewards, values = torch.randn(2, 4, 6, generator=generator, dtype=torch.float64)
    mask = torch.rand(4, 6, generator=generator) < 0.7
    mask[:, 1] = True
    return rewards, values, mask


def test_advantages_equal_those_of_another_implementation(golden):
    case = golden["gae"]
    rewards, values = (torch.tensor(case[name], dtype=torch.float64) for name in ("rewards", "values"))
    result = gae(rewards, values, torch.tensor(case["mask"]).bool(), gamma=case["gamma"], gae_lambda=case["gae_lambda"])
    torch.testing.assert_close(result.advantage.tolist(), case["advantage"], rtol=0, atol=1e-7)
    torch.testing.assert_close(result.target.tolist(), case["target"], rtol=0, atol=1e-7)


@properties
@given(seed=seeds, gamma=fractions, gae_lambda=fractions)
def test_advantage_is_the_discounted_sum_of_td_errors_over_the_tokens_that_count(seed, gamma, gae_lambda):
    rewards, values, mask = random_rollout(seed)
    result = gae(rewards, values, mask, gamma=gamma, gae_lambda=gae_lambda)
    for row in range(len(mask)):
        reward, value = rewards[row][mask[row]].tolist(), [*values[row][mask[row]].tolist(), 0.0]
        errors = [reward[t] + gamma * value[t + 1] - value[t] for t in range(len(reward))]
        by_hand = [
            sum((gamma * gae_lambda) ** (s - t) * errors[s] for s in range(t, len(errors))) for t in range(len(errors))
        ]
        assert result.advantage[row][mask[row]].tolist() == pytest.approx(by_hand, abs=1e-12)
    torch.testing.assert_close(result.target[mask], (result.advantage + values)[mask])
    assert (result.advantage[~mask] == 0).all()
    assert (result.target[~mask] == 0).all()


@properties
@given(seed=seeds, gamma=fractions)
def test_lambda_zero_is_the_td_error_and_lambda_one_is_return_minus_value(seed, gamma):
    rewards, values, _ = random_rollout(seed)
    mask = torch.ones_like(rewards, dtype=torch.bool)
    next_values = pad(values[:, 1:], (0, 1))
    td_error = gae(rewards, values, mask, gamma=gamma, gae_lambda=0.0).advantage
    torch.testing.assert_close(td_error, rewards + gamma * next_values - values)
    returns = torch.zeros_like(rewards)
    for t in range(6):
        returns[:, t] = sum(gamma ** (s - t) * rewards[:, s] for s in range(t, 6))
    result = gae(rewards, values, mask, gamma=gamma, gae_lambda=1.0)
    torch.testing.assert_close(result.advantage, returns - values)
    torch.testing.assert_close(result.target, returns)


@properties
@given(seed=seeds, left=st.integers(0, 3), right=st.integers(0, 3))
def test_more_padding_on_either_side_changes_nothing_whatever_it_holds(seed, left, right):
    rewards, values, mask = random_rollout(seed)
    wide_rewards, wide_values = pad(rewards, (left, right), value=NAN), pad(values, (left, right), value=NAN)
    narrow = gae(rewards, values, mask, gamma=0.9, gae_lambda=0.8)
    wide = gae(wide_rewards, wide_values, pad(mask, (left, right)), gamma=0.9, gae_lambda=0.8)
    for before, after in zip(narrow, wide, strict=True):
        assert torch.equal(pad(before, (left, right)), after)


@properties
@given(seed=seeds)
def test_splitting_the_batch_changes_nothing(seed):
    rewards, values, mask = random_rollout(seed)
    whole = gae(rewards, values, mask, gamma=0.9, gae_lambda=0.8)
    parts = [gae(rewards[i], values[i], mask[i], gamma=0.9, gae_lambda=0.8) for i in (slice(0, 1), slice(1, 4))]
    assert torch.equal(whole.advantage, torch.cat([part.advantage for part in parts]))


def test_advantages_carry_no_gradient():
    values = torch.zeros(1, 2, requires_grad=True)
    result = gae(torch.ones(1, 2), values, torch.ones(1, 2, dtype=torch.bool), gamma=1.0, gae_lambda=1.0)
    assert not result.advantage.requires_grad
    assert not result.target.requires_grad


def test_score_is_added_at_the_last_token_that_counts_and_the_penalty_at_each():
    mask = torch.tensor([[True, True, False], [True, True, True]])
    policy = torch.tensor([[-1.0, -2.0, NAN], [-0.5, -1.0, -1.5]])
    reference = torch.tensor([[-1.5, -1.0, NAN], [-0.5, -2.0, -1.0]])
    reward = kl_shaped_reward(torch.tensor([10.0, 20.0]), policy, reference, mask, kl_coefficient=0.1, estimator="k1")
    expected = torch.tensor([[-0.05, 10.1, 0.0], [0.0, -0.1, 20.05]])
    torch.testing.assert_close(reward, expected)


def test_shaped_reward_takes_the_estimator_it_is_told():
    policy, reference = torch.tensor([[-1.0]]), torch.tensor([[-3.0]])
    mask, score = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1)
    penalties = {
        name: -kl_shaped_reward(score, policy, reference, mask, kl_coefficient=1.0, estimator=name).item()
        for name in ("k1", "k2", "k3")
    }
    assert penalties == pytest.approx({"k1": 2.0, "k2": 2.0, "k3": 1.1353353})  # e^-2 - 1 + 2


@properties
@given(seed=seeds, left=st.integers(0, 3), right=st.integers(0, 3))
def test_last_token_is_the_last_true_of_each_row(seed, left, right):
    mask = pad(random_rollout(seed)[2], (left, right))
    for row, found in zip(mask, last_token(mask), strict=True):
        assert found.nonzero().flatten().tolist() == [row.nonzero().max().item()]


def test_a_response_without_tokens_has_no_last_token():
    assert not last_token(torch.zeros(2, 3, dtype=torch.bool)).any()


def test_explained_variance_of_perfect_useless_and_shifted_values():
    target = torch.tensor([[1.0, 2.0, NAN], [4.0, 9.0, NAN]])
    mask = ~target.isnan()
    assert explained_variance(value=target, target=target, mask=mask).item() == 1.0
    assert explained_variance(value=torch.zeros(2, 3), target=target, mask=mask).item() == 0.0
    assert explained_variance(value=target + 5.0, target=target, mask=mask).item() == 1.0
    assert explained_variance(value=-target, target=target, mask=mask).item() == -3.0
    assert explained_variance(value=target, target=torch.ones(2, 3), mask=mask).isnan()


def test_unequal_shapes_are_refused_with_both_shapes():
    mask = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"rewards has shape \(2, 3\) but values has shape \(2, 4\)"):
        gae(torch.zeros(2, 3), torch.zeros(2, 4), mask, gamma=1.0, gae_lambda=1.0)
    with pytest.raises(ValueError, match=r"score has shape \(3,\) but mask has shape \(2, 3\).*\(2,\), one a response"):
        kl_shaped_reward(torch.zeros(3), mask * 0.0, mask * 0.0, mask, kl_coefficient=0.1, estimator="k1")
