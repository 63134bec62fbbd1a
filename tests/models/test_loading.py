import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from boresight.errors import ModelError
from boresight.models.loading import (
    chat_format,
    context_length,
    fit_to_tokenizer,
    load_causal_lm,
    load_reward_model,
    load_tokenizer,
    save_model,
    saved_context_length,
    scalar_head,
    start_reward_model,
)
from boresight.models.roles import fingerprint
from boresight.models.tiny import tiny_llama, tiny_tokenizer

from .families import build


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    tokenizer = tiny_tokenizer("llama3")
    save_model(folder, tiny_llama(tokenizer, context_length=99), tokenizer, "# card\n")
    return folder


def test_saved_folder_loads_with_transformers_alone(saved: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(saved)
    model = AutoModelForCausalLM.from_pretrained(saved)
    assert fingerprint(model) == fingerprint(tiny_llama(tiny_tokenizer("llama3"), context_length=99))
    assert tokenizer.chat_template == tiny_tokenizer("llama3").chat_template
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {f.name for f in saved.iterdir()}


def test_equal_models_are_saved_as_equal_bytes(saved: Path, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer("llama3")
    save_model(tmp_path / "model", tiny_llama(tokenizer, context_length=99), tokenizer, "# card\n")
    for file in saved.iterdir():
        assert (tmp_path / "model" / file.name).read_bytes() == file.read_bytes(), file.name


def test_saving_again_replaces_the_folder_and_leaves_no_other(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old.txt").write_text("old")
    (tmp_path / ".model.tmp").mkdir()  # what a kill left
    save_model(tmp_path / "model", tiny_llama(tokenizer), tokenizer, "# card\n")
    assert not (tmp_path / "model" / "old.txt").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_failure_while_saving_leaves_the_old_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old.txt").write_text("old")
    tokenizer = tiny_tokenizer()
    with pytest.raises(AttributeError):
        save_model(tmp_path / "model", tiny_llama(tokenizer), tokenizer, card=None)  # type: ignore[arg-type]
    assert (tmp_path / "model" / "old.txt").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_weights_are_float32_whatever_they_were_saved_in(saved: Path, tmp_path: Path) -> None:
    load_causal_lm(saved).to(torch.bfloat16).save_pretrained(tmp_path / "half")
    assert load_causal_lm(tmp_path / "half").dtype == torch.float32


def test_context_is_read_from_the_model_and_from_its_folder(saved: Path) -> None:
    assert context_length(load_causal_lm(saved)) == saved_context_length(saved) == 99
    assert context_length(build("gpt2")) == context_length(build("gpt_neox")) == 64


def test_reward_model_is_a_classifier_of_one_label_for_transformers(saved: Path, tmp_path: Path) -> None:
    model = start_reward_model(saved, seed=4)
    tokenizer = load_tokenizer(saved)
    model.config.pad_token_id = tokenizer.pad_token_id
    save_model(tmp_path / "model", model, tokenizer, "# card\n")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert loaded.config.num_labels == 1 and fingerprint(loaded) == fingerprint(model)
    assert fingerprint(load_reward_model(tmp_path / "model")) == fingerprint(model)


def test_fresh_head_follows_the_seed_and_the_body_is_the_language_models(saved: Path) -> None:
    first, second, other = (start_reward_model(saved, seed=seed) for seed in (4, 4, 5))
    assert fingerprint(first) == fingerprint(second) != fingerprint(other)
    body = load_causal_lm(saved).base_model
    assert fingerprint(first.base_model) == fingerprint(body) == fingerprint(other.base_model)


def test_model_without_a_scalar_head_is_refused() -> None:
    with pytest.raises(ModelError, match=r"LlamaForCausalLM has 0 linear layers with one output.*needs exactly one"):
        scalar_head(tiny_llama(tiny_tokenizer()))


def test_gates_of_one_output_in_the_body_are_not_taken_for_the_scalar_head(tmp_path: Path) -> None:
    build("qwen2_moe").save_pretrained(tmp_path)
    assert scalar_head(model := start_reward_model(tmp_path, seed=0)) is model.score


def test_family_without_a_classifier_is_told_from_a_broken_folder(tmp_path: Path) -> None:
    build("granite").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"cannot make a body for a reward model of this family.*Llama, Qwen or Gemma"):
        start_reward_model(tmp_path, seed=0)


@pytest.mark.parametrize("damage", ["no folder", "no weights", "no json"])
def test_folder_that_cannot_be_loaded_is_named_with_what_was_expected(damage: str, saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    if damage != "no folder":
        folder.mkdir()
        text = (saved / "config.json").read_text() if damage == "no weights" else "{"
        (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"broken: cannot load a causal language model from here .*config\.json"):
        load_causal_lm(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": 3}, r"model\.layers\.2\.input_layernorm\.weight is absent, and \d+ more"),
        ({"intermediate_size": 40}, r"mlp\.\w+\.weight has the shape \(\d+, \d+\) instead of \(.*40.*\), and \d+ more"),
    ],
)
@pytest.mark.parametrize("load", [load_causal_lm, partial(start_reward_model, seed=1)])
def test_weights_that_are_absent_or_of_another_shape_are_named_and_never_drawn_by_chance(
    load: Callable[[Path], Any], change: dict[str, int], message: str, saved: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(saved, folder)
    config = json.loads((folder / "config.json").read_text())
    assert change.keys() <= config.keys()
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=rf"other: the weights are not those of .*{message}"):
        load(folder)


def test_file_of_weights_that_is_cut_off_is_named(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(saved, folder)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelError, match=r"cut: cannot load a causal language model from here .*safetensors"):
        load_causal_lm(folder)


def test_built_in_template_brings_its_tokens_and_the_model_gets_rows_for_them() -> None:
    tokenizer = tiny_tokenizer("chatml")
    model = tiny_llama(tokenizer)
    weight = model.get_input_embeddings().weight.detach().clone()
    chat = chat_format(tokenizer, "llama3")
    assert chat.stop_token == "<|eot_id|>" == tokenizer.eos_token and len(tokenizer) == 264
    fit_to_tokenizer(model, tokenizer)
    grown = model.get_input_embeddings().weight.detach()
    assert torch.equal(grown[:260], weight)
    torch.testing.assert_close(grown[260:], weight.mean(dim=0).expand(4, -1))
    assert model.get_output_embeddings().weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    assert model.config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_template_of_the_tokenizer_stays_as_it_is() -> None:
    tokenizer = tiny_tokenizer("chatml")
    before = json.dumps(tokenizer.chat_template), len(tokenizer)
    assert chat_format(tokenizer, "tokenizer").stop_token == "<|im_end|>"
    assert (json.dumps(tokenizer.chat_template), len(tokenizer)) == before
