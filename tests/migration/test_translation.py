"""Configs of TRL, LLaMA-Factory and Axolotl as pipelines: the same run, and every setting accounted for."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.config.load import load_pipeline
from boresight.errors import ConfigError
from boresight.migration.axolotl import from_axolotl
from boresight.migration.counterparts import AXOLOTL, LLAMA_FACTORY, TRL
from boresight.migration.llama_factory import from_llama_factory
from boresight.migration.settings import leaves
from boresight.migration.translation import Translation, pipeline_text
from boresight.migration.trl import from_trl
from boresight.migration.written import write_translation

from .configs import CASES, Case

READERS = {"trl": from_trl, "llamafactory": from_llama_factory, "axolotl": from_axolotl}
KNOWN = {"trl": TRL, "llamafactory": LLAMA_FACTORY, "axolotl": AXOLOTL}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data of this repository is found by chance."""
    monkeypatch.chdir(tmp_path)


def translated(tool: str, text: str, folder: Path, **options: Any) -> Translation:
    path = folder / "theirs.yaml"
    path.write_text(text)
    return READERS[tool](path, folder / "ours", **options)


def at(sections: dict[str, Any], key: str) -> Any:
    value: Any = sections
    for part in key.split("."):
        value = value[part]
    return value


def unaccounted(found: Translation, keys: list[str]) -> list[str]:
    """Keys that were neither translated nor named; keys that were both are told too."""
    named = [one.key for one in found.named]
    covered = {key for key in keys for name in named if key == name or key.startswith((f"{name}.", f"{name}["))}
    return sorted((set(keys) - covered - set(found.translated)) | (covered & set(found.translated)))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_config_becomes_the_same_run(case: Case, tmp_path: Path) -> None:
    found = translated(case.tool, case.text, tmp_path)
    assert {key: at(found.sections["stages"], key) for key in case.stages} == case.stages
    assert {key: at(found.sections, key) for key in case.run} == case.run
    assert {named.key for named in found.named} == case.named
    assert unaccounted(found, leaves(yaml.safe_load(case.text))) == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_file_loads_once_its_data_are_there_and_tells_what_is_missing(case: Case, tmp_path: Path) -> None:
    found = translated(case.tool, case.text, tmp_path)
    path = write_translation(found, tmp_path / "ours")
    for file in found.files:
        (path.parent / file.place).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / file.place).touch()
    assert list(load_pipeline(path).stages) == list(found.sections["stages"])
    text = path.read_text()
    for named in found.named:
        assert f"#   {named}" in text
    assert all(f"#   {line}" in text for line in (*found.assumed, *found.missing)) and found.missing


def test_data_and_models_that_are_there_are_pointed_at_and_counted(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n' * 50)
    (tmp_path / "base").mkdir()
    text = (
        "model_name_or_path: base\ndataset_name: rows.jsonl\nlabel_smoothing: 0.1\nnum_train_epochs: 2\n"
        "per_device_train_batch_size: 5\nwarmup_steps: 5\n"
    )
    found = translated("trl", text, tmp_path)
    assert found.sections["stages"]["pairs"]["sources"] == ["../rows.jsonl"]
    assert found.sections["model"]["path"] == "../base"
    assert at(found.sections, "stages.dpo.warmup_fraction") == 5 / 20 and found.missing == []
    steps = translated("trl", text + "max_steps: 30\n", tmp_path)
    assert at(steps.sections, "stages.dpo.epochs") == 3.0  # 30 steps of 5 over 50 rows
    assert "num_train_epochs" in {named.key for named in steps.named}


def test_a_part_of_a_file_is_named_since_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    text = "model_name_or_path: a/b\ndataset_name: rows.jsonl\ndataset_train_split: train[:9]\npacking: true\n"
    assert "dataset_train_split" in {named.key for named in translated("trl", text, tmp_path).named}
    hub = translated("trl", text.replace("rows.jsonl", "owner/rows"), tmp_path)
    assert "dataset_train_split" in hub.translated and 'split="train[:9]"' in hub.missing[0]


def test_names_of_llama_factory_are_looked_up_in_its_table_of_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "mine.json").write_text("[{}, {}, {}]")
    (data / "dataset_info.json").write_text(
        json.dumps({"mine": {"file_name": "mine.json"}, "far": {"hf_hub_url": "owner/far", "subset": "en"}})
    )
    text = "model_name_or_path: owner/base\ndataset: [mine, far]\n"
    found = translated("llamafactory", text, tmp_path)
    assert found.sections["stages"]["sft"]["data"] == ["../data/mine.json", "data/far.jsonl"]
    (fetch,) = found.missing
    assert 'load_dataset("owner/far", "en", split="train")' in fetch


@pytest.mark.parametrize(
    ("tool", "line", "message"),
    [
        ("trl", "learning_rate: fast", 'theirs.yaml:4: learning_rate: found "fast"; expected a number above 0'),
        ("trl", "beta: -1", "theirs.yaml:4: beta: found -1; expected a number above 0"),
        ("trl", "per_device_train_batch_size: 2.5", "found 2.5; expected a whole number"),
        ("trl", "bf16: maybe", 'theirs.yaml:4: bf16: found "maybe"; expected true or false'),
        ("trl", "loss_weights: [1.0, 2.0]", "loss_weights: found a list; expected 1 numbers above 0"),
        ("trl", "warmup_ratio: 3", "theirs.yaml:4: warmup_ratio: found 3.0; expected a share, at most 1"),
        ("trl", "lora_r: .inf", "theirs.yaml:4: lora_r: found"),
        ("llamafactory", "stage: dpoo", 'theirs.yaml:4: stage: found "dpoo"; expected one of pt, sft'),
        ("llamafactory", "stage: pt", "no pipeline to write"),
        ("llamafactory", "stage: ppo", "reward_model: found nothing; expected the folder of a reward model"),
        ("axolotl", "rl: grpo", "rl: grpo: no such method here; there are dpo, ipo, orpo, kto, simpo"),
        ("axolotl", "adapter: llama-adapter", "theirs.yaml:4: adapter: found"),
        ("axolotl", "pretraining_dataset: [{path: c4}]", "no pipeline to write"),
        ("trl", "beta: 1\nbeta: 2", "theirs.yaml:5: beta: given twice"),
        ("trl", "a: [", "not valid YAML"),
        ("axolotl", "rl: kto", "theirs.yaml: stages.kto.batch_size would be"),
    ],
)
def test_nonsense_is_refused_with_file_line_and_key(tool: str, line: str, message: str, tmp_path: Path) -> None:
    head = {
        "trl": "model_name_or_path: a/b\ndataset_name: c/d\nlabel_smoothing: 0\n",
        "llamafactory": "model_name_or_path: a/b\ndataset: d\nseed: 1\n",
        "axolotl": "base_model: a/b\ndatasets: [{path: c/d}]\nlearning_rate: 1e-5\n",
    }[tool]
    if "lora_r" in line:
        head = head.replace("label_smoothing: 0", "use_peft: true")
    with pytest.raises(ConfigError) as refused:
        translated(tool, head + line + "\n", tmp_path, **({"method": "dpo"} if tool == "trl" else {}))
    assert message in str(refused.value)


def test_a_table_of_data_that_is_no_json_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/dataset_info.json").write_text('{"mine": {"file_name": "p.jsonl"},}')
    text = f"model_name_or_path: owner/base\nstage: dpo\ndataset: mine\ndataset_dir: {tmp_path / 'data'}\n"
    with pytest.raises(ConfigError, match=r"data/dataset_info\.json: not JSON \(.*line 1"):
        translated("llamafactory", text, tmp_path)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        translated("axolotl", "num_epochs: none of it\nmicro_batch_size: 0\nsequence_len: 1.5\n", tmp_path)
    told = [problem.removeprefix(f"{tmp_path}/theirs.yaml:") for problem in refused.value.problems]
    assert [line.partition(": found")[0] for line in told] == [
        "1: base_model", "1: datasets", "1: learning_rate", "1: num_epochs", "2: micro_batch_size", "3: sequence_len",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["beta: 0.1\n", "packing: true\ndesirable_weight: 1.0\n"])
def test_a_config_of_trl_that_tells_no_command_asks_for_it(text: str, tmp_path: Path) -> None:
    head = "model_name_or_path: a/b\ndataset_name: c/d\n"
    with pytest.raises(ConfigError, match=r"Give --method sft, --method reward"):
        translated("trl", head + text, tmp_path)
    assert list(translated("trl", head + text, tmp_path, method="orpo").sections["stages"]) == ["pairs", "orpo"]


POOLS: dict[str, tuple[str, dict[str, list[Any]]]] = {
    "trl": (
        "model_name_or_path: a/b\ndataset_name: c/d\n",
        {
            "learning_rate": [1e-5, "2e-5"], "beta": [0.1, 0.5], "use_peft": [True, False], "lora_r": [8, 16],
            "lora_dropout": [0.0, 0.1], "use_rslora": [True], "use_dora": [True, False], "load_in_8bit": [True, False],
            "load_in_4bit": [True, False], "max_steps": [-1, 100], "num_train_epochs": [1, 2.5], "warmup_ratio": [0.1],
            "warmup_steps": [0, 0.1, 20], "optim": ["adamw_torch", "lion_32bit"], "loss_type": ["sigmoid", "hinge"],
            "lr_scheduler_type": ["linear", "polynomial"], "lr_scheduler_kwargs": [{"min_lr": 1e-6, "power": 2}],
            "save_steps": [10, 0.2], "fp16": [True], "dtype": ["bfloat16"], "logging_dir": ["x"], "env": [{"A": 1}],
            "run_name": [None, "x y"], "gradient_checkpointing": [False],
        },
    ),
    "llamafactory": (
        "model_name_or_path: a/b\ndataset: d\n",
        {
            "stage": ["sft", "rm", "dpo", "kto"], "pref_loss": ["sigmoid", "hinge", "orpo", "simpo", "ipo"],
            "pref_ftx": [0.0, 0.5], "ref_model": ["r/r", "a/b"], "finetuning_type": ["lora", "full", "freeze"],
            "lora_rank": [4], "lora_alpha": [8], "quantization_bit": [4, 8], "template": ["qwen", "chatml"],
            "val_size": [0.1, 100], "simpo_gamma": [0.5], "dpo_label_smoothing": [0.1], "pure_bf16": [True],
            "ppo_epochs": [2], "reward_model": ["x"], "use_galore": [True], "galore_rank": [8], "eval_dataset": ["e"],
            "max_samples": [10], "top_p": [0.5], "max_new_tokens": [64],
        },
    ),
    "axolotl": (
        "base_model: a/b\nlearning_rate: 1e-5\n",
        {
            "datasets": [[{"path": "c/d", "type": {"field_prompt": "p"}, "roles": {"user": ["u"]}}],
                         [{"path": "c/d", "data_files": ["a.jsonl", "b.jsonl"]}]],
            "rl": ["dpo", "ipo", "orpo", "kto", "simpo"], "rl_beta": [0.1], "orpo_alpha": [0.2], "trl": [{"beta": 1}],
            "dpo_loss_type": [["sigmoid"], ["hinge"]], "dpo_label_smoothing": [0.1], "adapter": ["lora", "qlora"],
            "lora_r": [8], "lora_target_linear": [True], "lora_target_modules": [["q_proj"]], "val_set_size": [0.05],
            "special_tokens": [{"pad_token": "x"}], "chat_template": ["gemma", "chatml"], "reward_model": [True],
            "excess_length_strategy": ["truncate"], "kto_desirable_weight": [0.5], "deepspeed": [{"a": {"b": 1}}],
            "gradient_checkpointing": ["offload", True], "cosine_min_lr_ratio": [0.1], "simpo_gamma": [1.0],
        },
    ),
}  # fmt: skip


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_every_key_ends_translated_or_named(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    tool = data.draw(st.sampled_from(sorted(POOLS)))
    head, pool = POOLS[tool]
    chosen = data.draw(st.lists(st.sampled_from(sorted(pool)), unique=True))
    values = yaml.safe_load(head) | {key: data.draw(st.sampled_from(pool[key])) for key in chosen}
    odd = data.draw(st.lists(st.sampled_from(["odd", "odder"])))
    values |= {key: {"deep": [1, {"er": 2}], "no": None} for key in odd}
    if tool == "axolotl":
        values.setdefault("datasets", [{"path": "c/d"}])
    text = yaml.safe_dump(values)
    options = {"method": data.draw(st.sampled_from(["sft", "reward", "dpo", "orpo", "kto"]))} if tool == "trl" else {}
    found = translated(tool, text, tmp_path_factory.mktemp("any"), **options)
    assert unaccounted(found, leaves(values)) == []
    loaded = yaml.safe_load(pipeline_text(found))
    assert loaded["stages"].keys() == found.sections["stages"].keys()


@pytest.mark.parametrize("tool", sorted(KNOWN))
def test_reasons_say_something_and_patterns_end_in_a_star(tool: str) -> None:
    for key, reason in KNOWN[tool].items():
        assert "*" not in key.removesuffix("*") and len(reason) > 15, key
