"""How a model is trained where memory is short: same results, or results that later stages load as any other."""

import shutil
import warnings
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from boresight.config.several_processes import for_one_process
from boresight.errors import ConfigError, ModelError
from boresight.models.loading import load_causal_lm, load_reward_model
from boresight.models.roles import fingerprint
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from boresight.pipeline.run import run_pipeline
from boresight.storage import read_json
from boresight.training.processes import Processes

from . import tiny_pipeline as tiny


def test_activation_checkpointing_changes_no_byte_of_any_artifact(built: Path, tmp_path: Path) -> None:
    pipeline = tiny.load(built / "data", *(f"stages.{name}.activation_checkpointing=true" for name in tiny.TRAINED))
    run_pipeline(pipeline, tmp_path / "run", say=lambda line: None)
    found, expected = tiny.artifacts(tmp_path / "run"), tiny.artifacts(built / "run")
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == ["pipeline.yaml"]


ADAPTED = [name for name in tiny.TRAINED if name != "base"]


@pytest.fixture(scope="module")
def adapted(built: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run whose stages all train adapters, and what it said."""
    said: list[str] = []
    out = tmp_path_factory.mktemp("adapted") / "run"
    pipeline = tiny.load(built / "data", *(f"stages.{name}.lora.rank=2" for name in ADAPTED))
    run_pipeline(pipeline, out, say=said.append)
    return out, said


def test_adapted_stages_save_plain_models_and_their_adapters(adapted: tuple[Path, list[str]], built: Path) -> None:
    stages = adapted[0] / "stages"
    for name in ADAPTED:
        load = load_reward_model if name == "scorer" else load_causal_lm
        model, plain = load(stages / name / "model"), load(built / "run/stages" / name / "model")
        assert [n for n, _ in model.named_parameters()] == [n for n, _ in plain.named_parameters()]
        assert torch.equal(model.base_model.norm.weight, load_causal_lm(stages / "base/model").model.norm.weight)
        assert (stages / name / "adapter/adapter_model.safetensors").is_file()
        result = read_json(stages / name / "result.json")
        assert 0 < result["trained_parameters"] < 0.5 * result["parameters"]
    assert read_json(stages / "dpo/result.json")["reference_unchanged"]


def test_saved_adapter_on_its_start_is_the_saved_model(adapted: tuple[Path, list[str]]) -> None:
    stages = adapted[0] / "stages"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is about to change
        loaded = PeftModel.from_pretrained(load_causal_lm(stages / "demo/model"), stages / "dpo/adapter")
    assert fingerprint(loaded.merge_and_unload()) == fingerprint(load_causal_lm(stages / "dpo/model"))


def test_reference_of_an_adapted_policy_is_the_model_under_the_adapter_and_the_log_says_so(
    adapted: tuple[Path, list[str]],
) -> None:
    told = [line for line in adapted[1] if "reference: demo, the policy's own weights with the adapter" in line]
    assert [line.split(" ")[1] for line in told] == ["ppo", "dpo", "kto", "rloo"]


def test_equal_adapted_runs_write_equal_bytes(adapted: tuple[Path, list[str]], built: Path, tmp_path: Path) -> None:
    pipeline = tiny.load(built / "data", *(f"stages.{name}.lora.rank=2" for name in ADAPTED))
    for name in ("base", "demo"):
        run_pipeline(pipeline, tmp_path / "run", only=name, say=lambda line: None)
    found, expected = tiny.artifacts(tmp_path / "run/stages"), tiny.artifacts(adapted[0] / "stages")
    assert "demo/adapter/adapter_config.json" in found
    assert [name for name in found if found[name] != expected[name]] == []


def test_quantization_where_it_cannot_be_had_stops_the_stage_with_what_to_do(built: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    shutil.copytree(built / "run", tmp_path / "run")
    pipeline = tiny.load(built / "data", "stages.dpo.lora.rank=2", "stages.dpo.quantization=4bit")
    with pytest.raises(ModelError, match="there is no CUDA device here"):
        run_pipeline(pipeline, tmp_path / "run", only="dpo", say=lambda line: None)


class Two(Processes):
    """The first of two, which comes to no place where it would need the other."""

    count = 2


def test_a_stage_refuses_what_is_for_one_process_in_the_words_of_the_launchers(built: Path, tmp_path: Path) -> None:
    noise = ("stages.dpo.gradient_noise_scale=true", "stages.dpo.micro_batch_size=2")
    others = ("stages.scorer.early_stopping_patience=2", "stages.ppo.offload=[reference]")
    pipeline = tiny.load(built / "data", *noise, *others)
    run = Path(shutil.copytree(built / "run", tmp_path / "run"))
    for stage in ("dpo", "scorer", "ppo"):
        with pytest.raises(ConfigError) as refused:
            run_pipeline(pipeline, run, only=stage, say=lambda line: None, processes=Two())
        assert refused.value.problems == list(for_one_process(pipeline, 2, stage).values()) != []


@pytest.mark.parametrize(("template", "new"), [("chatml", None), ("llama3", 4)])
def test_tokens_that_are_new_to_the_model_are_told(template: str, new: int | None, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer("chatml")
    for part in (tiny_llama(tokenizer), tokenizer):
        part.save_pretrained(tmp_path / "model")
    text = f"""\
run: {{name: tiny, seed: 3, threads: 1}}
model: {{path: {tmp_path / "model"}, chat_template: {template}}}
stages:
  demo: {{kind: sft, start: base_model, data: demonstrations.jsonl, steps: 1, batch_size: 8}}
  pairs: {{kind: preferences, sources: [pairs.jsonl]}}
  scorer: {{kind: reward_model, start: base_model, data: pairs, batch_size: 8, epochs: 1}}
"""
    said: list[str] = []
    run_pipeline(tiny.load(tmp_path / "data", text=text), tmp_path / "run", say=said.append)
    told = [line.partition("): ")[2] for line in said if "new to" in line]
    words = f"tokens that are new to {tmp_path / 'model'}: {new}; their embeddings begin as the mean of the others"
    assert told == ([words] * 2 if new else [])
