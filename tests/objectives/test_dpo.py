import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.objectives.bradley_terry import bradley_terry_loss
from boresight.objectives.dpo import dpo_loss, ipo_loss, robust_dpo_loss, simpo_loss

NAMES = (
    "policy_chosen_logp_sum",
    "policy_rejected_logp_sum",
    "reference_chosen_logp_sum",
    "reference_rejected_logp_sum",
)
properties = settings(deadline=None, max_examples=30)
seeds = st.integers(0, 2**32 - 1)
betas = st.floats(0.01, 2.0)


@pytest.fixture
def pairs(golden) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(golden["pairs"]["logp_sums"][name], dtype=torch.float64) for name in NAMES}


def random_pairs(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return dict(zip(NAMES, -20.0 * torch.rand(4, 5, generator=generator, dtype=torch.float64), strict=True))


def swapped(pairs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    turned = {"chosen": "rejected", "rejected": "chosen"}
    return {name: pairs["_".join(turned.get(part, part) for part in name.split("_"))] for name in NAMES}


@pytest.mark.parametrize("index", range(4))
def test_dpo_and_cdpo_equal_another_implementation(golden, pairs, index):
    case = golden["dpo"]["cases"][index]
    terms = dpo_loss(**pairs, beta=case["beta"], label_smoothing=case["label_smoothing"])
    for name in ("loss", "chosen_reward", "rejected_reward"):
        torch.testing.assert_close(getattr(terms, name).tolist(), case[name], rtol=0, atol=1e-6)


def test_dpo_without_a_reference_equals_two_other_implementations(golden, pairs):
    free = {name: tensor if name.startswith("policy") else torch.zeros_like(tensor) for name, tensor in pairs.items()}
    case = golden["dpo_without_reference"]
    torch.testing.assert_close(dpo_loss(**free, beta=case["beta"]).loss.tolist(), case["loss"], rtol=0, atol=1e-6)


def test_ipo_equals_other_implementations_in_its_sum_and_in_its_mean_form(golden, pairs):
    sums = ipo_loss(**pairs, beta=golden["ipo_sum"]["beta"])
    torch.testing.assert_close(sums.loss.tolist(), golden["ipo_sum"]["loss"], rtol=1e-6, atol=0)
    lengths = {name: torch.tensor(golden["pairs"][name]) for name in ("chosen_tokens", "rejected_tokens")}
    means = ipo_loss(**pairs, **lengths, beta=golden["ipo_mean"]["beta"])
    torch.testing.assert_close(means.loss.tolist(), golden["ipo_mean"]["loss"], rtol=1e-6, atol=0)


def test_length_normalised_dpo_by_hand(golden, pairs):
    # The first pair's log-ratios are 1 over 6 tokens and -0.5 over 7; beta 5 makes 5/6 and -2.5/7 of them.
    lengths = {name: torch.tensor(golden["pairs"][name]) for name in ("chosen_tokens", "rejected_tokens")}
    assert lengths["chosen_tokens"][0] == 6 and lengths["rejected_tokens"][0] == 7
    terms = dpo_loss(**pairs, **lengths, beta=5.0)
    assert terms.chosen_reward[0].item() == pytest.approx(5.0 / 6.0)
    assert terms.rejected_reward[0].item() == pytest.approx(-2.5 / 7.0)
    assert terms.loss[0].item() == pytest.approx(math.log1p(math.exp(-(5.0 / 6.0 + 2.5 / 7.0))))


@properties
@given(seed=seeds, tokens=st.integers(1, 50))
def test_equal_lengths_turn_a_normalised_loss_into_that_of_a_smaller_beta(seed, tokens):
    pairs, lengths = random_pairs(seed), torch.full((5,), tokens)
    for loss in (dpo_loss, partial(robust_dpo_loss, label_smoothing=0.2)):
        means = loss(**pairs, chosen_tokens=lengths, rejected_tokens=lengths, beta=0.4)
        torch.testing.assert_close(means.loss, loss(**pairs, beta=0.4 / tokens).loss)


@properties
@given(seed=seeds)
def test_repeating_a_response_changes_a_normalised_reward_not_at_all(seed):
    pairs, lengths = random_pairs(seed), torch.arange(1, 6)
    twice = {name: 2.0 * tensor for name, tensor in pairs.items()}
    once = dpo_loss(**pairs, chosen_tokens=lengths, rejected_tokens=lengths + 1, beta=5.0)
    longer = dpo_loss(**twice, chosen_tokens=2 * lengths, rejected_tokens=2 * (lengths + 1), beta=5.0)
    torch.testing.assert_close(once.loss, longer.loss)


def test_simpo_equals_another_implementation(golden):
    case, sums = golden["simpo"], golden["orpo"]["cases"][0]
    terms = simpo_loss(
        policy_chosen_logp_mean=torch.tensor(sums["policy_chosen_logp_mean"]),
        policy_rejected_logp_mean=torch.tensor(sums["policy_rejected_logp_mean"]),
        beta=case["beta"],
        gamma=case["gamma"],
    )
    torch.testing.assert_close(terms.loss.tolist(), case["loss"], rtol=0, atol=1e-6)


@properties
@given(seed=seeds, beta=betas, smoothing=st.floats(0.0, 0.5))
def test_dpo_loss_is_log_two_when_policy_equals_reference(seed, beta, smoothing):
    pairs = random_pairs(seed)
    pairs |= {name: pairs[name.replace("reference", "policy")] for name in NAMES[2:]}
    terms = dpo_loss(**pairs, beta=beta, label_smoothing=smoothing)
    torch.testing.assert_close(terms.loss, torch.full_like(terms.loss, math.log(2.0)))
    assert (terms.chosen_reward == 0).all()
    assert (terms.rejected_reward == 0).all()


@properties
@given(seed=seeds, beta=betas)
def test_swapping_chosen_and_rejected_negates_the_margin(seed, beta):
    pairs = random_pairs(seed)
    one, other = dpo_loss(**pairs, beta=beta), dpo_loss(**swapped(pairs), beta=beta)
    assert torch.equal(one.chosen_reward - one.rejected_reward, -(other.chosen_reward - other.rejected_reward))
    # -log sigmoid(z) + log sigmoid(-z) = -z
    torch.testing.assert_close(one.loss - other.loss, one.rejected_reward - one.chosen_reward)


@properties
@given(seed=seeds, beta=betas, smoothing=st.floats(0.0, 0.5))
def test_dpo_is_a_bradley_terry_model_of_its_implicit_rewards(seed, beta, smoothing):
    pairs = random_pairs(seed)
    p_chosen = torch.rand(5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    terms = dpo_loss(**pairs, beta=beta, p_chosen=p_chosen, label_smoothing=smoothing)
    reward_model = bradley_terry_loss(
        chosen_score=terms.chosen_reward,
        rejected_score=terms.rejected_reward,
        p_chosen=p_chosen,
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(terms.loss, reward_model.loss)


@properties
@given(seed=seeds, beta=betas, smoothing=st.floats(0.0, 0.45))
def test_robust_loss_averaged_over_turned_labels_is_the_loss_on_true_ones(seed, beta, smoothing):
    pairs = random_pairs(seed)
    kept = robust_dpo_loss(**pairs, beta=beta, label_smoothing=smoothing).loss
    turned = robust_dpo_loss(**swapped(pairs), beta=beta, label_smoothing=smoothing).loss
    torch.testing.assert_close((1.0 - smoothing) * kept + smoothing * turned, dpo_loss(**pairs, beta=beta).loss)


def test_gradient_reaches_the_policy_with_the_weight_of_the_paper_and_never_the_reference(pairs):
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in pairs.items()}
    terms = dpo_loss(**leaves, beta=0.1)
    terms.loss.sum().backward()
    weight = 0.1 * torch.sigmoid(terms.rejected_reward - terms.chosen_reward)  # eq. 7 ff.: beta sigmoid(-margin)
    torch.testing.assert_close(leaves["policy_chosen_logp_sum"].grad, -weight)
    torch.testing.assert_close(leaves["policy_rejected_logp_sum"].grad, weight)
    assert leaves["reference_chosen_logp_sum"].grad is None
    assert leaves["reference_rejected_logp_sum"].grad is None


def test_ipo_is_content_at_its_target_margin():
    zero = torch.zeros(1)
    terms = ipo_loss(
        policy_chosen_logp_sum=torch.tensor([5.0]),
        policy_rejected_logp_sum=zero,
        reference_chosen_logp_sum=zero,
        reference_rejected_logp_sum=zero,
        beta=0.1,
    )
    assert terms.loss.item() == 0.0
    assert terms.chosen_reward.item() == 0.5


@pytest.mark.parametrize(
    "loss",
    [
        lambda **pairs: dpo_loss(**pairs, beta=0.3, label_smoothing=0.1),
        lambda **pairs: robust_dpo_loss(**pairs, beta=0.3, label_smoothing=0.1),
        lambda **pairs: ipo_loss(**pairs, beta=0.3),
        lambda **pairs: ipo_loss(
            **pairs, beta=0.3, chosen_tokens=torch.arange(1, 6), rejected_tokens=torch.arange(2, 7)
        ),
    ],
    ids=["cdpo", "robust", "ipo sum", "ipo mean"],
)
def test_gradients_are_exact_in_float64(loss):
    pairs = random_pairs(7)
    policy = tuple(pairs[name].requires_grad_() for name in NAMES[:2])
    reference = {name: pairs[name] for name in NAMES[2:]}

    def loss_of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return loss(policy_chosen_logp_sum=chosen, policy_rejected_logp_sum=rejected, **reference).loss

    assert torch.autograd.gradcheck(loss_of, policy)


def test_splitting_the_batch_changes_nothing():
    pairs = random_pairs(8)
    whole = dpo_loss(**pairs, beta=0.2).loss
    parts = [dpo_loss(**{name: tensor[i : i + 1] for name, tensor in pairs.items()}, beta=0.2).loss for i in range(5)]
    assert torch.equal(whole, torch.cat(parts))


def test_half_precision_is_widened_before_the_subtraction():
    pairs = {name: torch.tensor([-300.0], dtype=torch.bfloat16) for name in NAMES}
    pairs["policy_chosen_logp_sum"] = torch.tensor([-299.5])  # float32; in bfloat16 it would be -300
    assert dpo_loss(**pairs, beta=1.0).chosen_reward.item() == 0.5


def test_simpo_pushes_until_the_margin_exceeds_gamma():
    at_gamma = simpo_loss(
        policy_chosen_logp_mean=torch.tensor([-1.0]),
        policy_rejected_logp_mean=torch.tensor([-1.5]),
        beta=2.0,
        gamma=1.0,
    )
    assert at_gamma.loss.item() == pytest.approx(math.log(2.0))
    assert (at_gamma.chosen_reward.item(), at_gamma.rejected_reward.item()) == (-2.0, -3.0)


def test_soft_label_of_simpo_weighs_both_responses_with_the_same_margin():
    means = {"policy_chosen_logp_mean": torch.tensor([-1.0]), "policy_rejected_logp_mean": torch.tensor([-1.5])}
    soft = simpo_loss(**means, beta=2.0, gamma=0.5, p_chosen=torch.tensor([0.8]))
    # beta times the difference is 1: the chosen one is 0.5 past the margin, the rejected one 1.5 short of it.
    assert soft.loss.item() == pytest.approx(0.8 * math.log1p(math.exp(-0.5)) + 0.2 * math.log1p(math.exp(1.5)))


@pytest.mark.parametrize(
    ("given_name", "absent"), [("chosen_tokens", "rejected_tokens"), ("rejected_tokens", "chosen_tokens")]
)
def test_one_length_alone_is_refused_and_the_absent_one_named(pairs, given_name, absent):
    with pytest.raises(ValueError, match=f"{given_name} is given but {absent} is not; pass both for the mean form"):
        ipo_loss(**pairs, beta=0.1, **{given_name: torch.ones(4)})


@pytest.mark.parametrize("smoothing", [0.5, -0.1])
def test_robust_loss_refuses_a_flip_rate_it_cannot_undo(pairs, smoothing):
    with pytest.raises(ValueError, match=f"label_smoothing is {smoothing}; expected at least 0 and below 0.5"):
        robust_dpo_loss(**pairs, beta=0.1, label_smoothing=smoothing)


def test_unequal_shapes_are_refused_with_both_shapes(pairs):
    pairs["reference_rejected_logp_sum"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"policy_chosen has shape \(4,\) but reference_rejected has shape \(3,\)"):
        dpo_loss(**pairs, beta=0.1)
