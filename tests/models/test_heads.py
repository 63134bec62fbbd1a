import pytest
import torch
from torch import nn

from boresight.models.heads import ScalarHeadModel
from boresight.models.tiny import tiny_llama, tiny_tokenizer

from .families import build

IDS = torch.tensor([[10, 11, 12, 13], [20, 21, 22, 0]])
EVERYWHERE = torch.ones(IDS.shape, dtype=torch.bool)


def test_head_of_a_reward_model_gives_the_normalised_score_at_every_token() -> None:
    model = tiny_llama(tiny_tokenizer())
    reward_head = nn.Linear(32, 1)
    value = ScalarHeadModel.from_reward_model(model, reward_head, mean=1.5, deviation=0.25)
    with torch.no_grad():
        hidden = model.model(IDS).last_hidden_state
        expected = (reward_head(hidden).squeeze(-1) - 1.5) / 0.25
        torch.testing.assert_close(value(IDS, EVERYWHERE).view(2, 4), expected, atol=1e-5, rtol=1e-5)


def test_head_without_a_bias_gets_one_for_the_mean() -> None:
    model = tiny_llama(tiny_tokenizer())
    reward_head = nn.Linear(32, 1, bias=False)
    value = ScalarHeadModel.from_reward_model(model, reward_head, mean=3.0, deviation=2.0)
    assert float(value.head.bias.detach()) == pytest.approx(-1.5)
    torch.testing.assert_close(value.head.weight * 2.0, reward_head.weight)


def test_head_of_a_language_model_starts_at_zero_and_learns() -> None:
    value = ScalarHeadModel.from_language_model(tiny_llama(tiny_tokenizer()))
    values = value(IDS, EVERYWHERE)
    assert values.shape == (8,) and values.dtype == torch.float32 and not values.any()
    (values - 1.0).square().sum().backward()
    assert bool(value.head.weight.grad.any()) and float(value.head.bias.grad) == pytest.approx(-16.0)


def test_values_are_float32_and_see_only_what_came_before() -> None:
    model = tiny_llama(tiny_tokenizer()).to(torch.bfloat16)
    value = ScalarHeadModel.from_reward_model(model, nn.Linear(32, 1, dtype=torch.bfloat16), mean=0.0, deviation=1.0)
    other = IDS.clone()
    other[:, 2:] = 50
    with torch.no_grad():
        before, after = EVERYWHERE.clone(), EVERYWHERE.clone()
        before[:, 2:], after[:, :2] = False, False
        assert value(IDS, before).dtype == torch.float32
        torch.testing.assert_close(value(other, before), value(IDS, before))
        assert not torch.equal(value(other, after), value(IDS, after))


@pytest.mark.parametrize("family", ["opt with projected states", "gemma3 with eyes"])
def test_head_of_a_language_model_is_as_wide_as_the_states_that_its_own_head_reads(family: str) -> None:
    values = ScalarHeadModel.from_language_model(build(family))(IDS, EVERYWHERE)
    assert values.shape == (8,) and not values.any()
