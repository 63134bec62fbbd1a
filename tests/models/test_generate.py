import logging
from collections.abc import Sequence

import pytest
import torch
from transformers import GenerationConfig, PreTrainedModel

from boresight.errors import DataError
from boresight.models.decoder import decodes
from boresight.models.generate import Generation, generate
from boresight.models.precision import arithmetic
from boresight.models.response_logps import response_logps
from boresight.models.tiny import tiny_llama, tiny_tokenizer

from .families import CONFIGS, SINKS, build

PROMPTS = [[5, 6, 7], [9, 10, 11, 12, 13, 14], [7], [20, 21], [9, 10, 11, 12, 13, 14], [5, 6, 7], [5, 6, 8]]
STOPS = [2, 30, 31, 32, 33]


def sample(
    model: PreTrainedModel,
    *,
    prompts: Sequence[Sequence[int]] = PROMPTS,
    temperatures: Sequence[float] | float = 1.0,
    limit: int | list[int] = 12,
    slots: int = 3,
    seed: int = 3,
    stops: Sequence[int] = STOPS,
) -> list[Generation]:
    return generate(
        model,
        prompts,
        temperatures=[temperatures] * len(prompts) if isinstance(temperatures, float) else temperatures,
        max_new_tokens=limit,
        stop_token_ids=stops,
        generator=torch.Generator().manual_seed(seed),
        batch_size=slots,
    )


def check_logps(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], done: Sequence[Generation], temperature: float
) -> None:
    """Against one plain forward of each response by itself."""
    for prompt, generation in zip(prompts, done, strict=True):
        row = [*prompt, *generation.token_ids]
        with torch.no_grad():
            logits = model(torch.tensor([row]), use_cache=False).logits[0].double() / temperature
        full = logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(1, torch.tensor(generation.token_ids)[:, None])
        assert float((torch.tensor(generation.logps) - full[:, 0]).abs().max()) < 1e-5


@pytest.mark.parametrize("family", [*CONFIGS, SINKS])
def test_every_family_is_driven_and_its_logps_are_those_of_a_full_forward(family: str) -> None:
    model = build(family)
    assert decodes(model)
    check_logps(build(family), PROMPTS, sample(model, temperatures=0.8), 0.8)


def test_model_that_cannot_be_driven_falls_back_with_a_note(caplog: pytest.LogCaptureFixture) -> None:
    model = build("bloom")
    with caplog.at_level(logging.WARNING):
        done = sample(model, temperatures=0.8)
    assert not decodes(model) and "BloomForCausalLM cannot be driven" in caplog.text
    check_logps(model, PROMPTS, done, 0.8)
    assert [len(g.token_ids) for g in sample(model, limit=[1, 2, 3, 4, 5, 6, 7], stops=[])] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("family", "note"),
    [
        (SINKS, None),
        ("lfm2 with convolutions", None),
        ("granite hybrid", None),
        ("gemma3 with eyes", None),
        ("mamba", "prompts of one length are written together"),
        ("rwkv", "all tokens are computed anew"),
        ("recurrent gemma, with states in its modules", "all tokens are computed anew"),
    ],
)
def test_every_model_writes_by_its_own_distribution(
    family: str, note: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows of several lengths, some of which leave the batch long before the others."""
    model = build(family)
    with caplog.at_level(logging.WARNING):
        done = sample(model, limit=[12, 3, 7, 2, 12, 3, 1], stops=[], slots=7)
    check_logps(model, PROMPTS, done, 1.0)
    assert ("takes no padding" in caplog.text) == (note is not None)
    assert note is None or note in caplog.text


@pytest.mark.parametrize("family", [*CONFIGS, SINKS, "bloom"])
def test_greedy_tokens_are_those_of_transformers(family: str) -> None:
    model = build(family)
    config = GenerationConfig(max_new_tokens=12, do_sample=False, eos_token_id=STOPS, pad_token_id=0)
    for prompt, generation in zip(PROMPTS, sample(model, temperatures=0.0), strict=True):
        ids = torch.tensor([prompt])
        theirs = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
        assert generation.token_ids == theirs[0, len(prompt) :].tolist()


@pytest.mark.parametrize("family", ["llama", "mistral with a sliding window", "gemma2 with soft caps"])
@pytest.mark.parametrize("slots", [1, 2, 5, 100])
def test_slots_and_refilling_change_no_response(family: str, slots: int) -> None:
    prompts = PROMPTS * 4
    limits = [1 + 5 * number % 17 for number in range(len(prompts))]
    whole = sample(build(family), prompts=prompts, limit=limits, slots=len(prompts))
    cut = sample(build(family), prompts=prompts, limit=limits, slots=slots)
    assert [g.token_ids for g in cut] == [g.token_ids for g in whole]
    assert all(len(g.token_ids) == limit or g.stopped for g, limit in zip(cut, limits, strict=True))
    check_logps(build(family), prompts, cut, 1.0)


def test_equal_runs_give_equal_bits() -> None:
    first, again = sample(build("llama"), prompts=PROMPTS * 4), sample(build("llama"), prompts=PROMPTS * 4)
    assert first == again


def test_a_response_depends_on_its_own_place_in_the_list_alone() -> None:
    """Other prompts before and behind may be any: each place has its own numbers to draw from."""
    others = [[90, 91, 92, 93], [1], [50] * 9, [60, 61], [1], [90], [4, 4]]
    mixed = [own if number % 2 else other for number, (own, other) in enumerate(zip(PROMPTS, others, strict=True))]
    plain, among = sample(build("llama")), sample(build("llama"), prompts=mixed)
    for number in range(1, len(PROMPTS), 2):
        assert among[number].token_ids == plain[number].token_ids


def test_prompt_is_computed_once_for_all_its_responses() -> None:
    model, rows = build("llama"), []
    decodes(model)
    model.register_forward_pre_hook(lambda _, args, kwargs: rows.append(kwargs["input_ids"].shape), with_kwargs=True)
    done = sample(model, prompts=[[5, 6, 7, 8]] * 6, slots=2, limit=5, stops=[])
    assert [shape for shape in rows if shape[1] > 1] == [(1, 4)]
    assert len({tuple(g.token_ids) for g in done}) > 1


def test_no_row_is_computed_for_a_finished_response() -> None:
    model, rows = build("llama"), []
    decodes(model)
    model.register_forward_pre_hook(lambda _, args, kwargs: rows.append(kwargs["input_ids"].shape), with_kwargs=True)
    limits = [9, 1, 4, 2, 7, 3, 5]
    sample(model, limit=limits, slots=3, stops=[])
    steps = [shape[0] for shape in rows if shape[1] == 1]
    assert sum(steps) == sum(limits) - len(limits)  # the first token of each follows from its prompt
    assert max(steps) == 3


def test_response_ends_with_the_stop_token_and_only_there() -> None:
    generations = sample(build("llama"), prompts=PROMPTS * 8, slots=4)
    assert any(g.stopped for g in generations) and not all(g.stopped for g in generations)
    for generation in generations:
        assert (generation.token_ids[-1] in STOPS) == generation.stopped
        assert not set(generation.token_ids[:-1]) & set(STOPS)
        assert len(generation.token_ids) == len(generation.logps) <= 12


def test_response_ends_where_a_stop_string_is_complete() -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_llama(tokenizer)
    options = {
        "temperatures": [1.0] * 40, "max_new_tokens": 40, "stop_token_ids": [], "batch_size": 7, "tokenizer": tokenizer,
    }  # fmt: skip
    free = generate(model, [[40, 41]] * 40, generator=torch.Generator().manual_seed(1), **options)  # type: ignore[arg-type]
    texts = [tokenizer.decode(g.token_ids) for g in free]
    pairs = (texts[0][at : at + 2] for at in range(9, 39))  # of two tokens each: the tokenizer's are bytes
    string = next(pair for pair in pairs if pair.isascii() and sum(pair in text for text in texts) < 20)
    stopped = generate(
        model, [[40, 41]] * 40, generator=torch.Generator().manual_seed(1), stop_strings=[string, "never@"],
        **options,  # type: ignore[arg-type]
    )  # fmt: skip
    assert stopped[0].stopped and not all(g.stopped for g in stopped)
    for text, whole, cut in zip(texts, free, stopped, strict=True):
        assert cut.stopped == (string in text)
        length = len(cut.token_ids)
        assert cut.token_ids == whole.token_ids[:length]
        assert (string in tokenizer.decode(cut.token_ids)) == cut.stopped
        assert string not in tokenizer.decode(cut.token_ids[:-1])


def test_stop_strings_need_a_tokenizer() -> None:
    with pytest.raises(ValueError, match="tokenizer"):
        generate(
            build("llama"), [[1]], temperatures=[1.0], max_new_tokens=1, stop_token_ids=[], batch_size=1,
            generator=torch.Generator(), stop_strings=["x"],
        )  # fmt: skip


def test_every_row_has_its_own_temperature() -> None:
    temperatures = [0.0, 0.5, 1.0, 2.0, 0.0, 4.0, 0.7]
    mixed = sample(build("llama"), temperatures=temperatures)
    for number, temperature in enumerate(temperatures):
        assert mixed[number].token_ids == sample(build("llama"), temperatures=temperature)[number].token_ids
        check_logps(build("llama"), PROMPTS[number : number + 1], mixed[number : number + 1], temperature or 1.0)


def test_frequencies_are_those_of_the_model() -> None:
    model = build("llama")
    with torch.no_grad():
        probability = model(torch.tensor([[5, 6, 7]])).logits[0, -1].softmax(-1)
    drawn = sample(model, prompts=[[5, 6, 7]] * 20000, limit=1, slots=5000, seed=0)
    counts = torch.bincount(torch.tensor([g.token_ids[0] for g in drawn]), minlength=97)
    # Pearson's statistic over 97 tokens has mean 96 and deviation about 14.
    statistic = float(((counts - 20000 * probability).square() / (20000 * probability)).sum())
    assert statistic < 96 + 5 * 14


def test_in_bfloat16_logps_are_those_of_training_but_for_its_rounding() -> None:
    model = build("llama")
    with arithmetic("bfloat16", "cpu"):
        done = sample(model, limit=30, stops=[])
        for prompt, generation in zip(PROMPTS, done, strict=True):
            row = torch.tensor([prompt + generation.token_ids])
            mask = torch.arange(row.shape[1])[None] >= len(prompt)
            with torch.no_grad():
                full = response_logps(model, row, mask).logp[0]
            torch.testing.assert_close(torch.tensor(generation.logps), full, atol=0.03, rtol=0)


def test_the_model_comes_back_as_it_was() -> None:
    model = build("llama").train()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    sample(model)
    with arithmetic("bfloat16", "cpu"):
        sample(model)
    assert model.training and not any("forward" in vars(module) for module in model.modules())
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


def test_context_may_be_filled_to_its_last_place() -> None:
    prompts = [[5] * 52, [7] * 40]
    done = sample(build("gpt2"), prompts=prompts, limit=[12, 24], stops=[])
    check_logps(build("gpt2"), prompts, done, 1.0)
    assert [len(g.token_ids) for g in done] == [12, 24]


def test_prompt_without_room_is_refused() -> None:
    with pytest.raises(DataError, match=r"prompt 2 of 2 has 60 tokens.*max_new_tokens = 12.*context of 64"):
        sample(build("llama"), prompts=[[1], [5] * 60])


def test_empty_prompt_is_refused_and_no_prompt_is_no_work() -> None:
    with pytest.raises(DataError, match="prompt 2 of 2 has no token"):
        sample(build("llama"), prompts=[[1], []])
    assert sample(build("llama"), prompts=[]) == []


def test_progress_counts_every_response_once() -> None:
    told: list[int] = []
    generate(
        build("llama"), PROMPTS * 3, temperatures=[1.0] * 21, max_new_tokens=5, stop_token_ids=STOPS,
        generator=torch.Generator().manual_seed(0), batch_size=4, on_finished=told.append,
    )  # fmt: skip
    assert sum(told) == 21
