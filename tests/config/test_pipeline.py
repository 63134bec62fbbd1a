import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from boresight.config.load import load_pipeline
from boresight.config.pipeline import stage_seed

Write = Callable[[str], Path]


def test_stages_come_after_what_they_need_and_else_in_the_order_of_the_file(whole: Path) -> None:
    assert list(load_pipeline(whole).stages) == [
        "base", "demo", "drafts", "labels", "pairs", "scorer", "ppo", "rloo", "dpo", "orpo", "compare", "gate", "simpo",
        "kto",
    ]  # fmt: skip


def test_references_files_and_ancestors_are_read_off_the_fields(whole: Path, folder: Path) -> None:
    pipeline = load_pipeline(whole)
    assert pipeline.references("compare") == {
        "candidates": ["ppo", "dpo"],
        "baseline": ["demo"],
        "judge.model": ["scorer"],
    }
    assert pipeline.file_inputs("compare") == {"prompts": [folder / "data/prompts.jsonl"]}
    assert pipeline.references("pairs") == {"sources": ["labels"]}
    assert pipeline.file_inputs("pairs") == {"sources": [folder / "data/pairs.csv"]}
    assert pipeline.file_inputs("scorer") == {"held_out": [folder / "data/pairs.csv"]}
    assert pipeline.references("base") == {}
    assert pipeline.stage_inputs("ppo") == ["demo", "scorer"]
    assert pipeline.ancestors("scorer") == ["base", "demo", "drafts", "labels", "pairs"]
    assert pipeline.ancestors("orpo") == ["base"]
    assert pipeline.ancestors("base") == []
    assert set(pipeline.ancestors("gate")) == set(pipeline.stages) - {"gate", "rloo", "orpo", "simpo", "kto"}


def test_a_data_root_on_the_command_line_starts_from_the_current_folder(
    whole: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = folder / "elsewhere"
    (elsewhere / "corpus").mkdir(parents=True)
    shutil.copytree(folder / "data", elsewhere / "corpus" / "data")
    monkeypatch.chdir(elsewhere)
    pipeline = load_pipeline(folder / whole, ["data.root=corpus"])
    assert pipeline.data_root == elsewhere / "corpus"
    assert pipeline.file_inputs("base") == {"data": [elsewhere / "corpus/data/docs.txt"]}


def test_data_paths_start_from_data_root_and_the_model_from_the_pipeline_file(folder: Path, write: Write) -> None:
    (folder / "corpus").mkdir()
    (folder / "corpus/a.txt").write_text("x")
    (folder / "models/base").mkdir(parents=True)
    path = write(
        "run: {name: r}\nmodel: {path: models/base}\ndata: {root: corpus}\n"
        "stages:\n  a: {kind: sft, data: a.txt, epochs: 1}\n"
    )
    pipeline = load_pipeline(path)
    assert pipeline.file_inputs("a") == {"data": [folder / "corpus/a.txt"]}
    assert pipeline.resolve_path("b/c.txt") == folder / "corpus/b/c.txt"
    assert pipeline.model_path == str(folder / "models/base")


def test_the_resolved_text_loads_to_the_same_run_from_another_folder(
    whole: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ["stages.ppo.learning_rate=1e-6", "stages.pairs.filters.max_length_ratio=2", "run.name='1e6'"]
    first = load_pipeline(whole, overrides, quick=True)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "pipeline.yaml").write_text(first.to_yaml(), encoding="utf-8")
    monkeypatch.chdir(elsewhere)
    second = load_pipeline(Path("pipeline.yaml"))
    assert second.sections.stages == first.sections.stages
    assert second.sections.run == first.sections.run
    assert second.stages.keys() == first.stages.keys()
    assert second.file_inputs("pairs") == first.file_inputs("pairs")
    assert load_pipeline(Path("pipeline.yaml"), quick=True).to_yaml() == second.to_yaml() == first.to_yaml()


def test_the_resolved_text_keeps_a_hub_name_and_makes_a_folder_absolute(folder: Path, write: Write) -> None:
    text = "run: {name: r}\nmodel: {path: models/base}\nstages:\n  a: {kind: sft, data: data/docs.txt, epochs: 1}\n"
    path = write(text)
    assert "  path: models/base\n" in load_pipeline(path).to_yaml()
    (folder / "models/base").mkdir(parents=True)
    assert f"  path: {folder}/models/base\n" in load_pipeline(path).to_yaml()


def test_a_stage_seed_is_the_head_of_the_digest_of_seed_and_name() -> None:
    # printf 7/ppo | sha256sum | head -c 8
    assert stage_seed(7, "ppo") == 0x3188B1BA


def test_stage_seeds_differ_by_stage_and_by_root_and_fit_every_generator(whole: Path) -> None:
    pipeline = load_pipeline(whole)
    seeds = {pipeline.stage_seed(name) for name in pipeline.stages} | {stage_seed(8, name) for name in pipeline.stages}
    assert len(seeds) == 2 * len(pipeline.stages)
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert pipeline.stage_seed("ppo") == stage_seed(7, "ppo")
