import math

import pytest
import torch
from torch import nn

from boresight.errors import TrainingError
from boresight.training.step import MetricSums, Updater, rate_factor, share_right

from . import tiny_world as tiny


def factors(total: int, **changes: object) -> list[float]:
    config = tiny.sft_config(**changes)
    return [rate_factor(update, total, config) for update in range(total)]


def test_rate_rises_linearly_and_falls_to_the_final_fraction() -> None:
    got = factors(10, schedule="linear", warmup_fraction=0.2, final_rate_fraction=0.2)
    # Two updates of warm-up, then eight from 1 down towards 0.2 in steps of 0.1.
    assert got == pytest.approx([0.5, 1.0, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])


def test_cosine_is_half_way_down_in_the_middle() -> None:
    got = factors(8, schedule="cosine", warmup_fraction=0.0)
    assert got[0] == 1.0 and got[4] == pytest.approx(0.5) and got[2] == pytest.approx(0.5 + math.sqrt(2) / 4)


def test_constant_rate_stays_after_the_warm_up() -> None:
    assert factors(4, schedule="constant", warmup_fraction=0.5) == [0.5, 1.0, 1.0, 1.0]
    assert factors(2, schedule="constant", warmup_fraction=0.0) == [1.0, 1.0]


def test_first_update_is_adams_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(2.0)
    config = tiny.sft_config(
        learning_rate=0.1, schedule="constant", warmup_fraction=0.0, weight_decay=0.5, max_grad_norm=100.0
    )
    updater = Updater([layer], config, total=1)
    losses = 3.0 * layer(torch.ones(4, 1)).squeeze(1)  # sum 24, gradient of the sum 12
    updater.accumulate({"loss/total": losses}, count=4, step=0, ids=["a"])
    assert updater.apply(step=0, ids=["a"]) == pytest.approx(3.0)
    # Decoupled decay 0.1 x 0.5 x 2, then Adam's first step: the rate, whatever the gradient.
    assert float(layer.weight.detach()) == pytest.approx(2.0 - 0.1 - 0.1, abs=1e-6)


def test_gradient_is_clipped_to_the_norm_and_told_before() -> None:
    layer = nn.Linear(2, 1, bias=False)
    config = tiny.sft_config(learning_rate=1e-9, max_grad_norm=1.0, warmup_fraction=0.0)
    updater = Updater([layer], config, total=1)
    updater.accumulate({"x": layer(torch.tensor([[3.0, 4.0]])).squeeze(1)}, count=1, step=0, ids=[])
    assert updater.apply(step=0, ids=[]) == pytest.approx(5.0)
    first_moment = updater.state_dict()["optimizer"]["state"][0]["exp_avg"]
    assert first_moment.tolist()[0] == pytest.approx([0.06, 0.08], rel=1e-4)  # 0.1 x (3, 4) / 5


def test_pieces_of_a_batch_give_the_gradient_of_the_whole() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(7, 3)

    def moment(pieces: list[torch.Tensor]) -> torch.Tensor:
        layer = nn.Linear(3, 1)
        nn.init.ones_(layer.weight)
        updater = Updater([layer], tiny.sft_config(max_grad_norm=1e6), total=1)
        for piece in pieces:
            updater.accumulate({"x": layer(piece).squeeze(1).square()}, count=7, step=0, ids=[])
        updater.apply(step=0, ids=[])
        moments: torch.Tensor = updater.state_dict()["optimizer"]["state"][0]["exp_avg"]
        return moments

    torch.manual_seed(1)
    whole = moment([inputs])
    torch.manual_seed(1)
    torch.testing.assert_close(moment([inputs[:4], inputs[4:5], inputs[5:]]), whole, rtol=1e-5, atol=1e-7)


def test_matrices_decay_but_norms_biases_and_tied_embeddings_do_not() -> None:
    model = tiny.fresh_model()
    updater = Updater([model], tiny.sft_config(weight_decay=0.1), total=1)
    groups = updater.state_dict()["optimizer"]["param_groups"]
    names = [name for name, _ in model.named_parameters()]
    by_decay = {group["weight_decay"]: len(group["params"]) for group in groups}
    still = sum("norm" in name or "embed" in name for name in names)
    assert by_decay == {0.1: len(names) - still, 0.0: still} and "lm_head.weight" not in names


def test_loss_that_is_not_finite_is_refused_before_any_gradient() -> None:
    layer = nn.Linear(1, 1)
    updater = Updater([layer], tiny.sft_config(), total=1)
    losses = {"loss/policy": layer(torch.ones(1, 1)), "loss/value": layer(torch.ones(1, 1)) * torch.inf}
    with pytest.raises(TrainingError, match=r"step 7: loss/value is not finite \(records a, b, c, d, e and 2 more\)"):
        updater.accumulate(losses, count=1, step=7, ids=iter("abcdefg"))
    assert layer.weight.grad is None


def test_gradient_that_is_not_finite_is_refused_before_the_update() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    updater = Updater([layer], tiny.sft_config(), total=1)
    updater.accumulate({"x": layer(torch.ones(1, 1)).abs().sqrt()}, count=1, step=3, ids=["a"])  # slope inf at 0
    with pytest.raises(TrainingError, match=r"step 3: the gradient is not finite \(records a\)"):
        updater.apply(step=3, ids=["a"])
    assert float(layer.weight.detach()) == 0.0


def test_metrics_of_ragged_pieces_are_divided_once() -> None:
    sums = MetricSums()
    sums.add("x", torch.tensor([1.0, 2.0, 3.0]))
    sums.add("x", torch.tensor([10.0]))
    sums.add("y", torch.tensor([4.0, 0.0]), count=1)
    sums.add("none", torch.zeros(0))
    assert sums.means() == {"x": 4.0, "y": 4.0}


def test_equal_rewards_count_as_halves() -> None:
    difference = torch.tensor([0.1, -3.0, 0.0, 1e-6, -1e-6])
    assert share_right(difference, torch.ones(5)).tolist() == [1.0, 0.0, 0.5, 0.5, 0.5]


def test_a_label_says_which_response_should_have_the_higher_reward_and_a_tie_says_nothing() -> None:
    difference = torch.tensor([2.0, 2.0, -2.0, -2.0, 0.0])
    assert share_right(difference, torch.tensor([0.9, 0.2, 0.5, 0.0, 0.3])).tolist() == [1.0, 0.0, 1.0, 0.5]
    assert share_right(difference, torch.full((5,), 0.5)).tolist() == []
