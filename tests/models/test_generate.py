import pytest
import torch

from boresight.errors import DataError
from boresight.models.generate import Generation, generate
from boresight.models.response_logps import response_logps

from .families import CONFIGS, build

PROMPTS = [[5, 6, 7], [9, 10, 11, 12, 13, 14], [7], [20, 21]]


def sample(
    family: str, batch_size: int, temperature: float = 1.0, prompts: list[list[int]] = PROMPTS
) -> list[Generation]:
    return generate(
        build(family),
        prompts,
        temperatures=[temperature] * len(prompts),
        max_new_tokens=12,
        stop_token_ids=[2, 30, 31, 32, 33],
        generator=torch.Generator().manual_seed(3),
        batch_size=batch_size,
    )


@pytest.mark.parametrize("family", CONFIGS)
def test_logps_equal_those_of_a_full_forward(family: str) -> None:
    model = build(family)
    generations = sample(family, batch_size=4, temperature=0.8)
    for prompt, generation in zip(PROMPTS, generations, strict=True):
        row = torch.tensor([prompt + generation.token_ids])
        mask = torch.zeros(row.shape, dtype=torch.bool)
        mask[:, len(prompt) :] = True
        with torch.no_grad():
            full = response_logps(model, row, mask, temperature=0.8).logp[0]
        torch.testing.assert_close(torch.tensor(generation.logps), full, atol=1e-5, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_batching_changes_no_response(batch_size: int) -> None:
    whole, cut = sample("llama", 4), sample("llama", batch_size)
    assert [g.token_ids for g in cut] == [g.token_ids for g in whole]


def test_response_ends_with_the_stop_token_and_only_there() -> None:
    generations = sample("llama", 4, prompts=PROMPTS * 8)
    stops = {2, 30, 31, 32, 33}
    assert any(g.stopped for g in generations) and not all(g.stopped for g in generations)
    for generation in generations:
        assert (generation.token_ids[-1] in stops) == generation.stopped
        assert not set(generation.token_ids[:-1]) & stops
        assert len(generation.token_ids) == len(generation.logps) <= 12


def test_greedy_takes_the_likeliest_token_each_time() -> None:
    model = build("llama")
    for prompt, generation in zip(PROMPTS, sample("llama", 4, temperature=0.0), strict=True):
        row = list(prompt)
        for token in generation.token_ids:
            assert int(model(torch.tensor([row])).logits[0, -1].argmax()) == token
            row.append(token)


def test_frequencies_are_those_of_the_model() -> None:
    model = build("llama")
    with torch.no_grad():
        probability = model(torch.tensor([[5, 6, 7]])).logits[0, -1].softmax(-1)
    drawn = generate(
        model,
        [[5, 6, 7]] * 20000,
        temperatures=[1.0] * 20000,
        max_new_tokens=1,
        stop_token_ids=[2],
        generator=torch.Generator().manual_seed(0),
        batch_size=5000,
    )
    counts = torch.bincount(torch.tensor([g.token_ids[0] for g in drawn]), minlength=97)
    # Pearson's statistic over 97 tokens has mean 96 and deviation about 14.
    statistic = float(((counts - 20000 * probability).square() / (20000 * probability)).sum())
    assert statistic < 96 + 5 * 14


def test_prompt_without_room_is_refused() -> None:
    with pytest.raises(DataError, match=r"prompt 2 of 2 has 60 tokens.*max_new_tokens = 12.*context of 64"):
        sample("llama", 2, prompts=[[1], [5] * 60])
