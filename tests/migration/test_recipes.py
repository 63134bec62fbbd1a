"""What published recipes for the three tools hold beside plain settings: mixtures, packing, patterns, pictures."""

import json
from pathlib import Path

import pytest
import yaml

from boresight.errors import ConfigError
from boresight.migration.settings import leaves

from .test_translation import at, translated, unaccounted

ZEPHYR = """\
model_name_or_path: alignment-handbook/zephyr-7b-sft-qlora
dataset_mixer: {HuggingFaceH4/ultrafeedback_binarized: 1.0}
dataset_splits: [train_prefs, test_prefs]
beta: 0.01
max_length: 1024
max_prompt_length: 512
"""
SMOL = """\
model_name_or_path: HuggingFaceTB/SmolLM3-3B-checkpoints
dataset_mixture:
  datasets:
    - {id: HuggingFaceTB/smoltalk2, config: Preference, split: no_think, columns: [chosen, rejected], weight: 0.5}
    - {id: HuggingFaceTB/smoltalk2, config: Preference, split: think, weight: 1.0}
  test_split_size: 2000
  seed: 0
"""
AXOLOTL = "base_model: owner/base\ndatasets: [{path: owner/rows}]\nlearning_rate: 1e-4\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data of this repository is found by chance."""
    monkeypatch.chdir(tmp_path)


def reasons(found: object) -> dict[str, str]:
    return {named.key: named.reason for named in found.named}  # type: ignore[attr-defined]


def test_a_mixer_of_the_handbook_is_trained_on_by_its_training_splits(tmp_path: Path) -> None:
    found = translated("trl", ZEPHYR, tmp_path, method="dpo")
    assert found.sections["stages"]["pairs"]["sources"] == ["data/ultrafeedback_binarized.jsonl"]
    (fetch,) = found.missing
    assert 'load_dataset("HuggingFaceH4/ultrafeedback_binarized", split="train_prefs")' in fetch
    assert "max_length" in reasons(found)["max_prompt_length"]
    assert unaccounted(found, leaves(yaml.safe_load(ZEPHYR))) == []


def test_two_splits_of_one_data_set_have_places_of_their_own(tmp_path: Path) -> None:
    found = translated("trl", SMOL, tmp_path, method="dpo")
    places = ["data/smoltalk2.jsonl", "data/smoltalk2-2.jsonl"]
    assert found.sections["stages"]["pairs"]["sources"] == places
    for place, split, fetch in zip(places, ("no_think", "think"), found.missing, strict=True):
        assert f'"HuggingFaceTB/smoltalk2", "Preference", split="{split}"' in fetch and f'ours/{place}")' in fetch
    mixed = "dataset_mixture.datasets[0]"
    assert reasons(found).keys() == {
        f"{mixed}.columns", f"{mixed}.weight", "dataset_mixture.test_split_size", "dataset_mixture.seed",
    }  # fmt: skip
    assert unaccounted(found, leaves(yaml.safe_load(SMOL))) == []


def test_data_listed_twice_are_taken_once_and_told(tmp_path: Path) -> None:
    found = translated("axolotl", AXOLOTL.replace("}]", "}, {path: owner/rows}]"), tmp_path)
    assert at(found.sections, "stages.sft.data") == "data/rows.jsonl"
    assert "data/rows.jsonl is listed 2 times there; here each row is taken once" in found.assumed


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("dataset_mixture: {datasets: []}", "dataset_mixture.datasets: found"),
        ("dataset_mixture: {datasets: [{split: train}]}", "dataset_mixture.datasets[0].id: found nothing"),
        ("dataset_mixture: {seed: 1}", "dataset_mixture.datasets: found nothing"),
        ("dataset_mixture: owner/rows", "dataset_mixture.datasets: found nothing"),
        ("dataset_mixer: owner/rows", "dataset_mixer: found"),
        ("dataset_mixer: {owner/rows: 1.0}\ndataset_splits: [test]", "dataset_splits: found a list"),
        ("dataset_mixer: {owner/rows: 1.0}\ndataset_configs: [a, b]", "dataset_configs: found a list"),
        ("seed: 1", "dataset_name: found nothing; expected the name or path of the data, or datasets, dataset_mixture"),
    ],
)
def test_mixtures_that_cannot_stand_are_refused(lines: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        translated("trl", f"model_name_or_path: a/b\n{lines}\n", tmp_path, method="sft")
    assert fault in str(refused.value)


def test_the_older_name_of_the_length_limit_is_taken(tmp_path: Path) -> None:
    text = "model_name_or_path: a/b\ndataset_name: c/d\nmax_seq_length: 8192\n"
    assert at(translated("trl", text, tmp_path).sections, "stages.sft.max_length") == 8192
    both = translated("trl", text + "max_length: 4096\n", tmp_path)
    assert at(both.sections, "stages.sft.max_length") == 4096 and "max_seq_length" in reasons(both)


@pytest.mark.parametrize(
    ("tool", "text", "key"),
    [
        ("axolotl", AXOLOTL + "sample_packing: true\nmicro_batch_size: 2\nsequence_len: 1024\n", "sample_packing"),
        ("trl", "model_name_or_path: a/b\ndataset_name: rows.jsonl\npacking: true\n"
         "per_device_train_batch_size: 2\n", "packing"),
        ("llamafactory", "model_name_or_path: a/b\ndataset: d\nneat_packing: true\n"
         "per_device_train_batch_size: 2\ncutoff_len: 1024\n", "neat_packing"),
    ],
)  # fmt: skip
def test_packing_is_named_with_the_batch_that_takes_its_place(tool: str, text: str, key: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n" * 100)
    found = translated(tool, text + "warmup_steps: 5\n", tmp_path)
    assert "fill 2 x 1024 tokens" in reasons(found)[key]
    assert "Set batch_size to 2048 / mean tokens of a row" in reasons(found)[key]
    # 100 rows in steps of 2 would be 50, but a packed step takes more of them.
    assert "warmup_steps" in reasons(found)
    off = translated(tool, text.replace(f"{key}: true", f"{key}: false"), tmp_path)
    assert key not in reasons(off)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_pure_half_precision_of_axolotl_is_computed_in_bfloat16(dtype: str, tmp_path: Path) -> None:
    found = translated("axolotl", f"{AXOLOTL}bf16: false\n{dtype}: true\n", tmp_path)
    assert at(found.sections, "model.dtype") == "bfloat16" and dtype in reasons(found)


def test_a_pattern_of_layers_becomes_all_linear_layers_and_is_named(tmp_path: Path) -> None:
    pattern = r"'model.layers.[\d]+.(mlp|self_attn).(up|down|gate|q|k|v|o)_proj'"
    found = translated("axolotl", f"{AXOLOTL}adapter: lora\nlora_target_modules: {pattern}\n", tmp_path)
    assert at(found.sections, "stages.sft.lora.target_modules") == "all-linear"
    assert "pattern" in reasons(found)["lora_target_modules"]


def test_rank_stabilised_scaling_has_a_name_of_its_own_in_axolotl(tmp_path: Path) -> None:
    text = f"{AXOLOTL}adapter: lora\nlora_r: 16\nlora_alpha: 8\npeft_use_rslora: true\n"
    assert at(translated("axolotl", text, tmp_path).sections, "stages.sft.lora.alpha") == 32  # 8 / sqrt(16) = 32 / 16


def test_beta_under_trl_is_beta(tmp_path: Path) -> None:
    found = translated("axolotl", f"{AXOLOTL}rl: dpo\ntrl: {{beta: 0.3}}\n", tmp_path)
    assert at(found.sections, "stages.dpo.beta") == 0.3 and found.named == []
    assert "trl.beta" in reasons(translated("axolotl", f"{AXOLOTL}trl: {{beta: 0.3}}\n", tmp_path))


def test_the_likelihood_term_that_axolotl_gives_simpo_is_told(tmp_path: Path) -> None:
    told = translated("axolotl", f"{AXOLOTL}rl: simpo\n", tmp_path)
    assert any(line.startswith("cpo_alpha 1 is the tool's default") for line in told.assumed)
    none = translated("axolotl", f"{AXOLOTL}rl: simpo\ncpo_alpha: 0\n", tmp_path)
    assert none.named == [] and not any("cpo_alpha" in line for line in none.assumed)


def test_a_kto_stage_takes_one_file_and_says_so(tmp_path: Path) -> None:
    found = translated("llamafactory", "model_name_or_path: a/b\nstage: kto\ndataset: one,two\n", tmp_path)
    assert any("data/one.jsonl is taken alone; join it with ['data/two.jsonl']" in line for line in found.assumed)


@pytest.mark.parametrize(
    ("tool", "text", "message"),
    [
        ("llamafactory", "model_name_or_path: a/b\ndataset: d\nimage_max_pixels: 1\n", "image_max_pixels: a run on"),
        ("llamafactory", "model: a/b\ntrain_dataset: data/v1.yaml\n", "LLaMA-Factory's v1 trainer"),
        ("axolotl", AXOLOTL + "processor_type: AutoProcessor\n", "processor_type: a run on pictures"),
        ("trl", "model_name_or_path: a/b\ndataset_name: c/d\n", "configs of grpo and rloo are not translated"),
    ],
)
def test_runs_without_a_counterpart_are_refused_with_the_reason(
    tool: str, text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        translated(tool, text, tmp_path)
    assert message in str(refused.value)


def test_data_with_pictures_are_refused_by_the_table_of_data(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    table = {"seen": {"file_name": "seen.json", "columns": {"images": "images"}}, "part": {"num_samples": 5}}
    (tmp_path / "data/dataset_info.json").write_text(json.dumps(table))
    with pytest.raises(ConfigError, match="dataset: seen has images"):
        translated("llamafactory", "model_name_or_path: a/b\ndataset: seen\n", tmp_path)
    found = translated("llamafactory", "model_name_or_path: a/b\ndataset: part\n", tmp_path)
    assert any("num_samples 5 of part" in line for line in found.assumed)


def test_rows_of_plain_text_are_named_as_what_no_sft_stage_reads(tmp_path: Path) -> None:
    found = translated("axolotl", AXOLOTL.replace("rows}", "rows, type: completion}"), tmp_path)
    assert "plain text" in reasons(found)["datasets[0].type"]


def test_no_warm_up_is_none_and_not_the_default(tmp_path: Path) -> None:
    assert at(translated("axolotl", AXOLOTL, tmp_path).sections, "stages.sft.warmup_fraction") == 0.03
    none = translated("axolotl", f"{AXOLOTL}warmup_steps: 0\n", tmp_path)
    assert at(none.sections, "stages.sft.warmup_fraction") == 0.0 and not any("warmup" in line for line in none.assumed)


def test_the_least_rate_of_cosine_belongs_to_cosine_alone(tmp_path: Path) -> None:
    found = translated("axolotl", f"{AXOLOTL}lr_scheduler: linear\ncosine_min_lr_ratio: 0.1\n", tmp_path)
    assert at(found.sections, "stages.sft.final_rate_fraction") == 0.0 and "cosine_min_lr_ratio" in reasons(found)


@pytest.mark.parametrize("line", ["fp8: true", "load_best_model_at_end: true", "train_on_inputs: true"])
def test_what_changes_the_result_is_not_told_as_a_matter_of_the_machine(line: str, tmp_path: Path) -> None:
    (reason,) = reasons(translated("axolotl", f"{AXOLOTL}{line}\n", tmp_path)).values()
    assert "the run differs" in reason
    off = translated("axolotl", f"{AXOLOTL}{line.replace('true', 'false')}\n", tmp_path)
    assert list(reasons(off).values()) == ["off, there as here"]


@pytest.mark.parametrize("tool", ["trl", "axolotl"])
def test_every_file_that_an_entry_names_is_taken_from_where_it_lies(tool: str, tmp_path: Path) -> None:
    (tmp_path / "here.jsonl").write_text("{}\n")
    text = """\
datasets:
  - {path: owner/rows, data_files: [sub/one.jsonl.zst, two.json]}
  - {path: json, data_files: [here.jsonl, there.jsonl]}
"""
    head = {"trl": "model_name_or_path: a/b\n", "axolotl": "base_model: a/b\nlearning_rate: 1e-4\n"}[tool]
    found = translated(tool, head + text, tmp_path, **({"method": "sft"} if tool == "trl" else {}))
    places = ["data/one.jsonl", "data/two.jsonl", "../here.jsonl", "data/there.jsonl"]
    assert at(found.sections, "stages.sft.data") == places
    assert 'load_dataset("owner/rows", data_files="sub/one.jsonl.zst", split="train")' in found.missing[0]
    assert found.missing[2] == f"copy there.jsonl to {tmp_path / 'ours/data/there.jsonl'}"
    assert unaccounted(found, leaves(yaml.safe_load(head + text))) == []


def test_a_mixture_goes_before_the_name_of_one_data_set(tmp_path: Path) -> None:
    text = "model_name_or_path: a/b\ndataset_name: c/one\ndataset_train_split: half\ndatasets: [{path: c/two}]\n"
    found = translated("trl", text, tmp_path, method="sft")
    assert at(found.sections, "stages.sft.data") == "data/two.jsonl"
    assert reasons(found).keys() == {"dataset_name", "dataset_train_split"}


def test_a_limit_of_null_is_no_limit(tmp_path: Path) -> None:
    text = "model_name_or_path: a/b\ndataset_name: c/d\npacking: true\nmax_length: null\n"
    found = translated("trl", text, tmp_path)
    assert at(found.sections, "stages.sft.max_length") is None and "max_length" in found.translated
    assert reasons(found).keys() == {"packing"}
