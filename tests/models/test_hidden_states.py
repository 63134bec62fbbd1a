"""Packed rows against the plain padded computation, which is the second source of every value here."""

import copy
import logging
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BloomConfig,
    PretrainedConfig,
    PreTrainedModel,
    XLNetConfig,
)

from boresight.errors import ModelError
from boresight.models import hidden_states as module
from boresight.models.hidden_states import hidden_states, packs, slices_at_once, unpacked, whole_logits
from boresight.models.loading import load_causal_lm, save_model
from boresight.models.packed_attention import NAME
from boresight.models.tiny import tiny_llama, tiny_tokenizer

from .families import CONFIGS, SINKS, SMALL, build


def rows_of(seed: int, prompts: int, responses: int, longest: int = 10) -> tuple[Tensor, Tensor]:
    """Right-padded rows, `responses` to each prompt, and the places whose state predicts a response token."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int) -> list[int]:
        length = int(torch.randint(low, longest, (1,), generator=generator))
        return torch.randint(3, 97, (length,), generator=generator).tolist()

    rows = [(prompt, draw(1)) for prompt in (draw(2) for _ in range(prompts)) for _ in range(responses)]
    width = max(len(prompt) + len(response) for prompt, response in rows)
    input_ids = torch.full((len(rows), width), 9)
    wanted = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, (prompt, response) in enumerate(rows):
        input_ids[i, : len(prompt) + len(response)] = torch.tensor(prompt + response)
        wanted[i, len(prompt) - 1 : len(prompt) + len(response) - 1] = True
    return input_ids, wanted


def plain_twin(model: PreTrainedModel) -> PreTrainedModel:
    twin = copy.deepcopy(model)
    unpacked(twin.base_model)
    return twin


def loss(model: PreTrainedModel, input_ids: Tensor, wanted: Tensor) -> Tensor:
    states = hidden_states(model.base_model, input_ids, wanted)
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(1)).to(states.dtype)
    return (states * weights).sum()


def relative_difference(a: list[Tensor], b: list[Tensor]) -> float:
    """Norm of the difference over the norm, over all tensors at once."""
    difference = sum(float((x - y).double().square().sum()) for x, y in zip(a, b, strict=True))
    return float((difference / sum(float(y.double().square().sum()) for y in b)) ** 0.5)


@pytest.mark.parametrize("family", [*CONFIGS, SINKS])
def test_states_and_gradients_equal_the_padded_ones(family: str) -> None:
    model = build(family)
    plain = plain_twin(model)
    batch = rows_of(0, prompts=4, responses=3)
    assert packs(model.base_model) and not packs(plain.base_model)
    ours, theirs = loss(model, *batch), loss(plain, *batch)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5, abs=1e-5)
    ours.backward()
    theirs.backward()
    gradients = [(a.grad, b.grad) for a, b in zip(model.parameters(), plain.parameters(), strict=True)]
    assert all((a is None) == (b is None) for a, b in gradients)
    given = [(a, b) for a, b in gradients if a is not None and b is not None]
    assert relative_difference([a for a, _ in given], [b for _, b in given]) < 2e-6


@pytest.mark.parametrize("family", ["gpt_neox", "gpt2"])  # the others' norms are float32 whatever the model is
def test_in_float64_nothing_is_left_but_its_own_rounding(family: str) -> None:
    model = build(family).double()
    plain = plain_twin(model)
    batch = rows_of(2, prompts=3, responses=2)
    loss(model, *batch).backward()
    loss(plain, *batch).backward()
    given = [
        (a.grad, b.grad) for a, b in zip(model.parameters(), plain.parameters(), strict=True) if a.grad is not None
    ]
    assert relative_difference([a for a, _ in given], [b for _, b in given if b is not None]) < 1e-10


@pytest.mark.parametrize("family", [*CONFIGS, SINKS])
@torch.no_grad()
def test_logits_equal_the_padded_ones_soft_caps_included(family: str) -> None:
    model = build(family)
    batch = rows_of(1, prompts=3, responses=2)
    for found, plain in zip(whole_logits(model, *batch), whole_logits(plain_twin(model), *batch), strict=True):
        torch.testing.assert_close(found, plain, atol=1e-5, rtol=0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), prompts=st.integers(1, 4), responses=st.integers(1, 4))
@torch.no_grad()
def test_no_shape_of_batch_changes_a_state(seed: int, prompts: int, responses: int) -> None:
    batch = rows_of(seed, prompts, responses, longest=14)
    ours, theirs = hidden_states(LLAMA.base_model, *batch), hidden_states(PLAIN.base_model, *batch)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


LLAMA = build("mistral with a sliding window")  # the window is shorter than the rows
PLAIN = plain_twin(LLAMA)


@torch.no_grad()
def test_prompts_are_computed_once() -> None:
    model = build("llama")
    input_ids, wanted = rows_of(3, prompts=2, responses=4)
    assert packs(model.base_model)
    computed: list[int] = []
    model.base_model.register_forward_pre_hook(
        lambda _, __, keywords: computed.append(keywords["input_ids"].numel()), with_kwargs=True
    )
    hidden_states(model.base_model, input_ids, wanted)
    lengths = [int(row.nonzero().max()) + 1 for row in wanted]
    prompts = [int(row.nonzero().min()) + 1 for row in wanted]
    repeated = sum(prompts) - prompts[0] - prompts[4]
    assert computed[0] <= sum(lengths) - repeated < input_ids.numel()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), prompts=st.integers(1, 6), responses=st.integers(1, 4), budget=st.integers(1, 200))
@torch.no_grad()
def test_what_is_cut_without_gradient_is_cut_between_prompts(
    seed: int, prompts: int, responses: int, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOKENS_AT_ONCE", budget)
    input_ids, wanted = rows_of(seed, prompts, responses)
    lengths = (wanted.int().argmax(dim=1) + 1).tolist()
    prompt = [tuple(row[:length].tolist()) for row, length in zip(input_ids, lengths, strict=True)]
    parts = slices_at_once(input_ids, wanted.roll(1, dims=1))
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(len(input_ids)))
    assert all(prompt[before.stop - 1] != prompt[after.start] for before, after in pairwise(parts))
    for part in parts:
        assert part.stop > part.start
        fits = (part.stop - part.start) * input_ids.shape[1] <= budget
        assert fits or len(set(prompt[part])) == 1


def test_where_a_gradient_is_wanted_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOKENS_AT_ONCE", 1)
    input_ids, wanted = rows_of(3, prompts=2, responses=4)
    assert slices_at_once(input_ids, wanted.roll(1, dims=1)) == [slice(0, 8)]


@torch.no_grad()
def test_rows_without_padding_are_one_plain_batch() -> None:
    model = build("llama")
    input_ids = torch.randint(3, 97, (4, 20), generator=torch.Generator().manual_seed(0))
    assert packs(model.base_model)
    shapes: list[torch.Size] = []
    model.base_model.register_forward_pre_hook(
        lambda _, __, keywords: shapes.append(keywords["input_ids"].shape), with_kwargs=True
    )
    hidden_states(model.base_model, input_ids, torch.ones(4, 20, dtype=torch.bool))
    assert shapes == [torch.Size([4, 20])]


def test_a_model_whose_attention_cannot_be_driven_is_computed_padded() -> None:
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=97, hidden_size=32, n_layer=2, n_head=4)
    model = AutoModel.from_config(config).eval()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    before = model.config._attn_implementation
    batch = rows_of(4, prompts=2, responses=2)
    with torch.no_grad():
        states = hidden_states(model, *batch)
        expected = model(batch[0]).last_hidden_state[batch[1]]
    assert not packs(model) and model.config._attn_implementation == before
    torch.testing.assert_close(states, expected, atol=0, rtol=0)


@pytest.mark.parametrize("fault", ["positions", "stem", "order"])
def test_the_probe_refuses_a_model_that_packs_wrongly(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fault leaves shapes alone: only the comparison of the states can see it."""
    honest = module.pack

    def faulty(*arguments: object, **options: object) -> object:
        row = honest(*arguments, **options)  # type: ignore[arg-type]
        if fault == "positions":
            changes: dict[str, object] = {"position_ids": torch.arange(row.position_ids.numel())[None] % 50}
        elif fault == "stem":
            spans = tuple(s._replace(stem_end=s.stem_end - 1) if s.stem > 1 else s for s in row.spans)
            changes = {"spans": spans}
        else:
            changes = {"places": row.places.flip(0)}
        return type(row)(**{name: changes.get(name, getattr(row, name)) for name in row.__slots__})

    monkeypatch.setattr(module, "pack", faulty)
    assert not packs(build("llama").base_model)


def test_dropout_of_attention_still_drops() -> None:
    torch.manual_seed(0)
    config = type(CONFIGS["llama"])(**SMALL, attention_dropout=0.5)
    model = AutoModel.from_config(config)
    batch = rows_of(5, prompts=2, responses=3)
    assert packs(model)
    with torch.no_grad():
        model.eval()
        still = hidden_states(model, *batch), hidden_states(model, *batch)
        model.train()
        moving = hidden_states(model, *batch), hidden_states(model, *batch)
    assert torch.equal(*still) and not torch.equal(*moving)


def test_gradients_in_bfloat16_arithmetic_stay_close() -> None:
    model = build("llama")
    plain = plain_twin(model)
    batch = rows_of(6, prompts=4, responses=2)
    for one in (model, plain):
        with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
            loss(one, *batch).backward()
    given = [
        (a.grad, b.grad) for a, b in zip(model.parameters(), plain.parameters(), strict=True) if a.grad is not None
    ]
    assert relative_difference([a for a, _ in given], [b for _, b in given if b is not None]) < 3e-2


def test_the_attention_of_packed_rows_is_not_written_into_saved_models(tmp_path: object) -> None:
    from pathlib import Path

    tokenizer = tiny_tokenizer()
    model = tiny_llama(tokenizer)
    assert packs(model.base_model) and model.config._attn_implementation == NAME
    save_model(Path(str(tmp_path)) / "model", model, tokenizer, "card")
    assert NAME not in (Path(str(tmp_path)) / "model" / "config.json").read_text(encoding="utf-8")
    assert load_causal_lm(Path(str(tmp_path)) / "model").config._attn_implementation != NAME


@pytest.mark.parametrize(
    ("auto", "config"),
    [
        (AutoModelForCausalLM, BertConfig(**SMALL)),
        (AutoModelForCausalLM, XLNetConfig(vocab_size=97, d_model=32, n_layer=2, n_head=4, d_inner=48)),
        (AutoModelForSequenceClassification, BertConfig(**SMALL, num_labels=1)),
    ],
    ids=["a masked language model", "xlnet", "a classifier that reads both ways"],
)
def test_a_model_whose_tokens_see_those_behind_them_is_refused(auto: type, config: PretrainedConfig) -> None:
    model = auto.from_config(config)  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="depends on the tokens behind it; expected a causal language model"):
        packs(model.base_model)


def test_bert_as_a_decoder_is_taken() -> None:
    model = AutoModelForCausalLM.from_config(BertConfig(**SMALL, is_decoder=True))
    input_ids, wanted = rows_of(5, prompts=2, responses=2)
    states = hidden_states(model.eval().base_model, input_ids, wanted).detach()
    plain = hidden_states(plain_twin(model).base_model, input_ids, wanted)
    assert relative_difference([states], [plain.detach()]) < 1e-5
