import math
from itertools import combinations, permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.objectives.bradley_terry import bradley_terry_loss, plackett_luce_nll, preference_nll, ranking_loss

NAN = float("nan")
properties = settings(deadline=None, max_examples=30)
seeds = st.integers(0, 2**32 - 1)


def random_pairs(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    chosen, rejected = 3.0 * torch.randn(2, 5, generator=generator, dtype=torch.float64)
    margin, p_chosen = torch.rand(2, 5, generator=generator, dtype=torch.float64)
    return {"chosen_score": chosen, "rejected_score": rejected, "margin": margin, "p_chosen": p_chosen}


def test_pair_loss_equals_that_of_another_implementation(golden):
    case = golden["bradley_terry"]
    chosen, rejected, margin = (
        torch.tensor(case[name], dtype=torch.float64) for name in ("chosen_score", "rejected_score", "margin")
    )
    plain = bradley_terry_loss(chosen_score=chosen, rejected_score=rejected)
    assert plain.loss.mean().item() == pytest.approx(case["loss_mean"], abs=1e-7)
    with_margin = bradley_terry_loss(chosen_score=chosen, rejected_score=rejected, margin=margin)
    assert with_margin.loss.mean().item() == pytest.approx(case["loss_mean_with_margin"], abs=1e-7)


def test_soft_labels_and_smoothing_by_hand():
    # sigmoid(ln 3) = 3/4, so the two likelihood terms are -ln 3/4 and -ln 1/4.
    difference = torch.tensor([math.log(3.0)], dtype=torch.float64)
    right, wrong = -math.log(0.75), -math.log(0.25)
    soft = preference_nll(difference, p_chosen=torch.tensor([0.6], dtype=torch.float64))
    assert soft.item() == pytest.approx(0.6 * right + 0.4 * wrong)
    smooth = preference_nll(difference, label_smoothing=0.1)
    assert smooth.item() == pytest.approx(0.9 * right + 0.1 * wrong)
    both = preference_nll(difference, p_chosen=torch.tensor([0.6], dtype=torch.float64), label_smoothing=0.1)
    assert both.item() == pytest.approx(0.58 * right + 0.42 * wrong)  # 0.9 * 0.6 + 0.1 * 0.4 = 0.58


@properties
@given(seed=seeds, shift=st.floats(-50.0, 50.0))
def test_shifting_all_scores_changes_the_preference_not_at_all_and_the_centering_term_alone(seed, shift):
    pairs = random_pairs(seed)
    moved = pairs | {name: pairs[name] + shift for name in ("chosen_score", "rejected_score")}
    before, after = bradley_terry_loss(**pairs), bradley_terry_loss(**moved)
    torch.testing.assert_close(after.loss, before.loss)
    torch.testing.assert_close(
        after.centering, (pairs["chosen_score"] + pairs["rejected_score"] + 2.0 * shift).square()
    )


@properties
@given(seed=seeds, smoothing=st.floats(0.0, 0.5))
def test_swapping_responses_and_labels_keeps_the_loss_and_negates_the_difference(seed, smoothing):
    pairs = random_pairs(seed)
    swapped = {
        "chosen_score": pairs["rejected_score"],
        "rejected_score": pairs["chosen_score"],
        "margin": pairs["margin"],
        "p_chosen": 1.0 - pairs["p_chosen"],
    }
    one = bradley_terry_loss(**pairs, label_smoothing=smoothing, centering_coefficient=0.1)
    other = bradley_terry_loss(**swapped, label_smoothing=smoothing, centering_coefficient=0.1)
    torch.testing.assert_close(one.loss, other.loss)
    assert torch.equal(one.score_difference, -other.score_difference)


@properties
@given(p=st.floats(0.05, 0.95))
def test_a_soft_label_is_met_best_by_its_own_log_odds(p):
    difference = torch.tensor([math.log(p / (1.0 - p))], dtype=torch.float64, requires_grad=True)
    loss = preference_nll(difference, p_chosen=torch.tensor([p], dtype=torch.float64))
    loss.sum().backward()
    assert difference.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_loss_and_gradient_stay_finite_and_exact_far_out():
    chosen = torch.tensor([-500.0, 500.0], requires_grad=True)
    loss = bradley_terry_loss(chosen_score=chosen, rejected_score=-chosen.detach()).loss
    loss.sum().backward()
    assert loss.tolist() == [1000.0, 0.0]
    assert chosen.grad.tolist() == [-1.0, 0.0]


def test_centering_adds_its_share_and_pulls_scores_to_zero():
    chosen, rejected = torch.tensor([3.0], requires_grad=True), torch.tensor([2.0], requires_grad=True)
    terms = bradley_terry_loss(chosen_score=chosen, rejected_score=rejected, centering_coefficient=0.01)
    assert terms.centering.item() == 25.0
    torch.testing.assert_close(terms.loss, terms.preference + 0.25)
    (terms.loss - terms.preference).backward()
    assert chosen.grad.item() == pytest.approx(0.1)  # 0.01 * 2 * 5
    assert rejected.grad.item() == pytest.approx(0.1)


def test_gradients_are_exact_in_float64():
    pairs = random_pairs(0)
    chosen, rejected = (pairs.pop(name).requires_grad_() for name in ("chosen_score", "rejected_score"))

    def loss(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return bradley_terry_loss(
            chosen_score=chosen, rejected_score=rejected, **pairs, label_smoothing=0.1, centering_coefficient=0.2
        ).loss

    assert torch.autograd.gradcheck(loss, (chosen, rejected))


@properties
@given(seed=seeds, smoothing=st.floats(0.0, 0.5))
def test_ranking_loss_and_gradient_equal_the_loop_over_pairs(seed, smoothing):
    generator = torch.Generator().manual_seed(seed)
    score = torch.randn(4, generator=generator, dtype=torch.float64, requires_grad=True)
    rank = torch.randperm(4, generator=generator)
    ranking = ranking_loss(
        score=score.unsqueeze(0),
        rank=rank.unsqueeze(0),
        mask=torch.ones(1, 4, dtype=torch.bool),
        label_smoothing=smoothing,
        centering_coefficient=0.05,
    )
    by_rank = rank.argsort().tolist()  # best first
    losses = [
        bradley_terry_loss(
            chosen_score=score[better],
            rejected_score=score[worse],
            label_smoothing=smoothing,
            centering_coefficient=0.05,
        ).loss
        for better, worse in combinations(by_rank, 2)
    ]
    looped = torch.stack(losses).mean()
    torch.testing.assert_close(ranking.loss[0], looped)
    torch.testing.assert_close(torch.autograd.grad(ranking.loss[0], score), torch.autograd.grad(looped, score))
    right = sum(bool(score[better] > score[worse]) for better, worse in combinations(by_rank, 2))
    assert (ranking.pairs.item(), ranking.pairs_right.item()) == (6, right)


def test_a_ranking_of_two_is_a_pair():
    score = torch.tensor([[0.3, 1.2]], dtype=torch.float64)
    ranking = ranking_loss(score=score, rank=torch.tensor([[2, 1]]), mask=torch.ones(1, 2, dtype=torch.bool))
    pair = bradley_terry_loss(chosen_score=score[:, 1], rejected_score=score[:, 0])
    torch.testing.assert_close(ranking.loss, pair.loss)


def test_ties_and_masked_responses_make_no_pair_and_nan_there_changes_nothing():
    score = torch.tensor([[2.0, 1.0, 0.5, NAN], [1.0, 2.0, NAN, NAN]], dtype=torch.float64, requires_grad=True)
    rank = torch.tensor([[1, 1, 2, 0], [3, 3, 0, 1]])
    ranking = ranking_loss(score=score, rank=rank, mask=~score.isnan())
    ranking.loss.sum().backward()
    expected = -torch.nn.functional.logsigmoid(torch.tensor([1.5, 0.5], dtype=torch.float64)).mean()
    torch.testing.assert_close(ranking.loss.tolist(), [expected.item(), 0.0])
    assert ranking.pairs.tolist() == [2, 0]
    assert ranking.pairs_right.tolist() == [2, 0]
    assert (score.grad[score.isnan()] == 0).all()
    assert (score.grad[1] == 0).all()


def below(rank: torch.Tensor) -> torch.Tensor:
    """(rankings, responses, responses) bool from ranks: who was preferred to whom."""
    return rank.unsqueeze(2) < rank.unsqueeze(1)


def test_probability_of_an_order_by_hand():
    # e^score is 3, 2 and 1: the first is chosen of 6, the second of 3, so P = 3/6 x 2/3 = 1/3.
    score = torch.tensor([[3.0, 2.0, 1.0]], dtype=torch.float64).log()
    assert plackett_luce_nll(score=score, preferred=below(torch.tensor([[1, 2, 3]]))).item() == pytest.approx(
        math.log(3.0)
    )
    # The first two tie: each is chosen before the third, 3/4 x 2/3, and nothing is said of the two.
    tied = plackett_luce_nll(score=score, preferred=below(torch.tensor([[1, 1, 2]])))
    assert tied.item() == pytest.approx(math.log(2.0))


@properties
@given(seed=seeds)
def test_probabilities_of_all_orders_add_up_to_one_and_a_shift_changes_none(seed):
    score = 3.0 * torch.randn(1, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    orders = torch.tensor(list(permutations(range(4))))
    nll = plackett_luce_nll(score=score.expand(24, 4), preferred=below(orders))
    assert (-nll).exp().sum().item() == pytest.approx(1.0)
    torch.testing.assert_close(plackett_luce_nll(score=score.expand(24, 4) + 7.0, preferred=below(orders)), nll)


def test_an_order_of_two_is_a_pair():
    score = torch.tensor([[0.3, 1.2]], dtype=torch.float64)
    pair = bradley_terry_loss(chosen_score=score[:, 1], rejected_score=score[:, 0])
    torch.testing.assert_close(plackett_luce_nll(score=score, preferred=below(torch.tensor([[2, 1]]))), pair.loss)


def test_responses_that_nothing_is_said_of_change_nothing_in_an_order():
    score = torch.tensor([[1.0, 0.0, NAN], [NAN, NAN, NAN]], dtype=torch.float64, requires_grad=True)
    preferred = torch.zeros(2, 3, 3, dtype=torch.bool)
    preferred[0, 0, 1] = True
    nll = plackett_luce_nll(score=score, preferred=preferred)
    nll.sum().backward()
    torch.testing.assert_close(nll.tolist(), [math.log1p(math.exp(-1.0)), 0.0])
    assert (score.grad[score.isnan()] == 0).all()


def test_gradient_of_an_order_is_exact_in_float64():
    score = torch.randn(2, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)
    preferred = below(torch.tensor([[2, 1, 3, 4], [1, 1, 2, 2]]))
    assert torch.autograd.gradcheck(lambda s: plackett_luce_nll(score=s, preferred=preferred), (score,))


def test_an_order_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"score has shape \(1, 3\) but preferred has shape \(1, 3, 2\)"):
        plackett_luce_nll(score=torch.zeros(1, 3), preferred=torch.zeros(1, 3, 2, dtype=torch.bool))


@pytest.mark.parametrize("smoothing", [-0.1, 0.6, NAN])
def test_smoothing_outside_its_range_is_refused(smoothing):
    with pytest.raises(ValueError, match=f"label_smoothing is {smoothing}; expected 0 to 0.5"):
        preference_nll(torch.zeros(1), label_smoothing=smoothing)


def test_unequal_shapes_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"chosen_score has shape \(3,\) but p_chosen has shape \(3, 1\)"):
        bradley_terry_loss(chosen_score=torch.zeros(3), rejected_score=torch.zeros(3), p_chosen=torch.zeros(3, 1))
    with pytest.raises(ValueError, match=r"score has shape \(1, 3\) but rank has shape \(1, 2\)"):
        ranking_loss(score=torch.zeros(1, 3), rank=torch.zeros(1, 2), mask=torch.ones(1, 3, dtype=torch.bool))
