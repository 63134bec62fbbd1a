import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from boresight.config.sections import SFTStage
from boresight.errors import CheckpointError
from boresight.pipeline.artifacts import Identity, Input, RunFolder, manifest, stage_config
from boresight.storage import hash_file, read_json

DATA = Input("data/demos.jsonl", "/somewhere/data/demos.jsonl", "d" * 64, is_stage=False)
BASE = Input("base", "/somewhere/stages/base", "b" * 64, is_stage=True)


def identity(**changes: Any) -> Identity:
    plain = Identity(
        stage="demo", kind="sft", config={"steps": 4, "learning_rate": 1e-3}, model={"dtype": "float32"}, seed=7,
        inputs={"start": [BASE], "data": [DATA]},
    )  # fmt: skip
    return replace(plain, **changes)


def build(runs: RunFolder, what: Identity, content: str = "made") -> Path:
    folder = runs.open(what)
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "weights.bin").write_text(content)
    (folder / "timings.jsonl").write_text("{}\n")
    return runs.finish(what, {"steps": 4})


CHANGES: dict[str, dict[str, Any]] = {
    "kind": {"kind": "orpo"},
    "name": {"stage": "other"},
    "setting": {"config": {"steps": 5, "learning_rate": 1e-3}},
    "new setting": {"config": {"steps": 4, "learning_rate": 1e-3, "epochs": None}},
    "model": {"model": {"dtype": "bfloat16"}},
    "seed": {"seed": 8},
    "content of an input": {"inputs": {"start": [BASE], "data": [replace(DATA, sha256="e" * 64)]}},
    "order of inputs": {"inputs": {"start": [DATA], "data": [BASE]}},
    "field of an input": {"inputs": {"start": [BASE], "other": [DATA]}},
}


def test_equal_things_have_one_key_wherever_they_lie_and_however_their_files_are_called() -> None:
    moved = replace(DATA, name="elsewhere/renamed.jsonl", path="/other/place")
    turned = {"data": [moved], "start": [BASE]}
    assert identity(inputs=turned, config={"learning_rate": 1e-3, "steps": 4}).key == identity().key


@pytest.mark.parametrize("change", CHANGES)
def test_anything_that_decides_the_result_changes_the_key(change: str) -> None:
    assert identity(**CHANGES[change]).key != identity().key


def test_how_often_a_stage_saves_is_no_part_of_its_config() -> None:
    one = SFTStage(kind="sft", data="x", steps=4, checkpoint_every=1)
    assert stage_config(one) == stage_config(one.model_copy(update={"checkpoint_every": 9}))
    assert stage_config(one) != stage_config(one.model_copy(update={"steps": 5}))
    json.dumps(stage_config(one))


def test_artifact_is_absent_until_it_is_whole(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    folder = runs.open(identity())
    assert runs.built_key("demo") is None and not runs.stage("demo").exists()
    assert read_json(folder / "config.json") == {"steps": 4, "learning_rate": 1e-3}
    finished = build(runs, identity())
    assert finished == runs.stage("demo") and not runs.partial("demo").exists()
    assert runs.built_key("demo") == identity().key
    assert {file.name for file in finished.iterdir()} == {
        "config.json", "manifest.json", "model", "result.json", "timings.jsonl"
    }  # fmt: skip


def test_manifest_names_every_output_and_input_by_the_hash_of_its_content(tmp_path: Path) -> None:
    finished = build(RunFolder(tmp_path), identity())
    written = read_json(finished / "manifest.json")
    assert written["outputs"] == {
        name: hash_file(finished / name) for name in ("config.json", "model/weights.bin", "result.json")
    }
    assert written["inputs"] == {
        "start": [{"stage": "base", "sha256": "b" * 64}],
        "data": [{"path": "data/demos.jsonl", "sha256": "d" * 64}],
    }
    assert (written["stage"], written["kind"], written["seed"]) == ("demo", "sft", 7)
    assert {"boresight", "torch", "transformers", "python"} <= set(written["versions"])
    assert str(tmp_path) not in (finished / "manifest.json").read_text()


def test_what_rests_on_an_artifact_is_keyed_by_its_content(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    build(runs, identity(), "one")
    first = runs.output_hash("demo")
    build(runs, identity(seed=8), "two")
    assert runs.output_hash("demo") != first


def test_working_files_stand_in_no_manifest_and_are_gone_at_the_end(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    folder = runs.open(identity())
    (folder / "checkpoint.pt").write_text("state")
    (folder / "chunks").mkdir()
    (folder / "chunks" / "a.jsonl").write_text("{}")
    assert set(manifest(identity(), folder)["outputs"]) == {"config.json"}
    finished = runs.finish(identity(), {})
    assert {file.name for file in finished.iterdir()} == {"config.json", "manifest.json", "result.json"}


def test_stage_under_way_is_taken_up_with_what_it_has(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    folder = runs.open(identity())
    (folder / "checkpoint.pt").write_text("state")
    (folder / ".checkpoint.pt.abc.tmp").write_text("half")  # what a kill left
    (folder / ".model.tmp").mkdir()
    (folder / ".model.tmp" / ".weights.tmp").write_text("half")
    assert runs.open(identity()) == folder
    assert (folder / "checkpoint.pt").read_text() == "state"
    assert not list(folder.rglob(".*"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config": {"steps": 9, "learning_rate": 1e-3}}, r"\(steps: 4 -> 9\)"),
        ({"config": {"steps": 9, "learning_rate": 2e-3}}, r"\(learning_rate: 0\.001 -> 0\.002; steps: 4 -> 9\)"),
        ({"config": {"steps": 4}}, r"\(learning_rate: 0\.001 -> null\)"),
        ({"model": {"dtype": "bfloat16"}}, r'\(dtype: "float32" -> "bfloat16"\)'),
        ({"inputs": {"start": [BASE], "data": [replace(DATA, sha256="e" * 64)]}}, r'\(data: \["ddd.* -> \["eee'),
        ({"seed": 8}, r"\(seed: 7 -> 8\)"),
    ],
)
def test_half_finished_stage_of_other_settings_is_refused_with_what_changed(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    runs = RunFolder(tmp_path)
    (runs.open(identity()) / "checkpoint.pt").write_text("state")
    with pytest.raises(CheckpointError, match=r"demo\.partial: holds a half-finished stage .*" + said):
        runs.open(identity(**changes))
    assert (runs.partial("demo") / "checkpoint.pt").read_text() == "state"


def test_folder_that_a_kill_left_before_it_said_whose_it_is_is_begun_anew(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    runs.partial("demo").mkdir(parents=True)
    (runs.partial("demo") / "stray").write_text("x")
    assert not (runs.open(identity()) / "stray").exists()


def test_finished_artifact_of_another_key_is_kept_and_comes_back(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    build(runs, identity(), "one")
    build(runs, identity(seed=8), "two")
    assert (runs.stage("demo") / "model/weights.bin").read_text() == "two"
    assert runs.restore("demo", identity().key)
    assert (runs.stage("demo") / "model/weights.bin").read_text() == "one"
    assert runs.restore("demo", identity(seed=8).key)
    assert (runs.stage("demo") / "model/weights.bin").read_text() == "two"
    assert not runs.restore("demo", identity(seed=9).key)
    assert (runs.stage("demo") / "model/weights.bin").read_text() == "two"


def test_folder_without_a_manifest_does_not_stand_in_the_way(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    runs.stage("demo").mkdir(parents=True)
    (runs.stage("demo") / "notes.txt").write_text("somebody's")
    build(runs, identity())
    assert runs.built_key("demo") == identity().key
    (kept,) = (tmp_path / "superseded").iterdir()
    assert (kept / "notes.txt").read_text() == "somebody's"


class Killed(BaseException):
    """Stands for a kill; tests/pipeline/test_resume.py has real ones."""


def dies_after(calls: int, act: Callable[..., Any]) -> Callable[..., Any]:
    left = [calls]

    def call(*arguments: Any, **options: Any) -> Any:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return act(*arguments, **options)

    return call


@pytest.mark.parametrize("renames", [2, 3, 4])
def test_kill_between_manifest_and_place_costs_nothing(
    renames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renames of `finish`: result, manifest, the old artifact out of the way, the new one into its place."""
    runs = RunFolder(tmp_path)
    build(runs, identity(), "old")
    folder = runs.open(identity(seed=8))
    (folder / "model").mkdir()
    (folder / "model" / "weights.bin").write_text("new")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies_after(renames, Path.replace))
        if renames < 4:
            with pytest.raises(Killed):
                runs.finish(identity(seed=8), {})
        else:
            runs.finish(identity(seed=8), {})
    assert runs.complete("demo", identity(seed=8).key) == (renames < 4)
    assert (runs.stage("demo") / "model/weights.bin").read_text() == "new"
    assert runs.restore("demo", identity().key)
    assert (runs.stage("demo") / "model/weights.bin").read_text() == "old"


def test_complete_leaves_alone_what_is_not_complete_or_has_another_key(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    assert not runs.complete("demo", identity().key)
    folder = runs.open(identity())
    assert not runs.complete("demo", identity().key)
    (folder / "manifest.json").write_text(json.dumps({"key": "another"}))
    assert not runs.complete("demo", identity().key) and folder.exists()


@pytest.mark.parametrize("content", [b"", b'{"key": "ab', b"[]", b"\xff"])
def test_a_file_of_a_stage_that_was_cut_off_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    runs = RunFolder(tmp_path)
    damaged = build(runs, identity()) / "manifest.json"
    damaged.write_bytes(content)
    for read in (runs.built_key, runs.output_hash):
        with pytest.raises(CheckpointError, match="is not the JSON object that a run wrote") as caught:
            read("demo")
        assert str(damaged) in str(caught.value) and f"remove the folder {damaged.parent}" in str(caught.value)
