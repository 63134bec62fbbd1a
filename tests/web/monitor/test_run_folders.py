"""What lies on the disk, as runs and stages with their states."""

import os
from pathlib import Path

import pytest

import boresight
from boresight.pipeline.artifacts import MANIFEST
from boresight.web.monitor import run_folders, watch
from boresight.web.monitor.run_folders import SILENT_AFTER, find_runs, read_place
from tests.web.monitor.growing_run import GrowingRun

GUARD = Path(boresight.__path__[0]) / "training" / "guard.py"


def test_a_run_has_the_stages_of_its_pipeline_file(tmp_path: Path) -> None:
    run = GrowingRun(tmp_path)
    run.grow()
    place = read_place(run.folder)
    assert [(stage.name, stage.kind, stage.state()) for stage in place.stages] == [
        ("demo", "sft", "done"), ("align", "ppo", "running"),
    ]  # fmt: skip
    assert place.current is not None and place.current.name == "align"


def test_a_stage_that_has_not_begun_waits_and_a_finished_one_is_done(tmp_path: Path) -> None:
    run = GrowingRun(tmp_path)
    run.finish()
    (run.folder / "pipeline.yaml").write_text("stages: {align: {kind: ppo}, gate: {kind: gate}}")
    states = {stage.name: stage.state() for stage in read_place(run.folder).stages}
    assert states == {"align": "done", "gate": "waiting", "demo": "done"}


def test_a_gate_that_did_not_hold_has_failed(tmp_path: Path) -> None:
    gate = tmp_path / "run" / "stages" / "gate"
    gate.mkdir(parents=True)
    (gate / "manifest.json").write_text("{}")
    (gate / "result.json").write_text('{"passed": false}')
    assert [stage.state() for stage in read_place(tmp_path / "run").stages] == ["failed"]


@pytest.mark.parametrize(
    ("quiet", "step_seconds", "state"),
    [
        (SILENT_AFTER - 1, None, "running"),
        (SILENT_AFTER + 1, None, "silent"),
        (500, 120.0, "running"),
        (700, 120.0, "silent"),
    ],
)
def test_a_stage_that_writes_nothing_is_silent_after_some_of_its_steps(
    tmp_path: Path, quiet: float, step_seconds: float | None, state: str
) -> None:
    run = GrowingRun(tmp_path)
    run.grow()
    for path in (*run.stage.iterdir(), run.stage):
        os.utime(path, (1000, 1000))
    stage = read_place(run.folder).stage("align")
    assert stage is not None and stage.state(step_seconds, now=1000 + quiet) == state


def test_a_stage_built_anew_shows_its_new_folder(tmp_path: Path) -> None:
    run = GrowingRun(tmp_path)
    (run.folder / "stages" / "align").mkdir()
    stage = read_place(run.folder).stage("align")
    assert stage is not None and stage.folder is not None and stage.folder.name == "align.partial"


def test_runs_are_found_in_a_folder_those_that_changed_last_first(tmp_path: Path) -> None:
    for name, time in (("old", 1000), ("new", 2000)):
        run = GrowingRun(tmp_path, name)
        for path in (*run.stage.parent.rglob("*"), run.stage.parent):
            os.utime(path, (time, time))
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    assert [run.name for run in find_runs(tmp_path)] == ["new", "old"]
    assert [run.name for run in find_runs(tmp_path / "old")] == ["old"]


def test_a_stage_by_itself_is_a_run_of_one_stage(tmp_path: Path) -> None:
    run = GrowingRun(tmp_path)
    run.grow()
    (place,) = find_runs(run.stage)
    assert [(stage.name, stage.kind) for stage in place.stages] == [("align", "ppo")]


@pytest.mark.parametrize("text", ["", "stages: 5", "stages: {a: 5}", ": : :", "stages: {a: {kind: sft}", "\x00"])
def test_a_pipeline_file_that_cannot_be_read_leaves_what_the_folders_tell(tmp_path: Path, text: str) -> None:
    run = GrowingRun(tmp_path)
    (run.folder / "pipeline.yaml").write_text(text)
    (run.folder / "run.json").write_text('{"stages": [{"name": "demo", "kind": "sft"}, 5]}')
    assert [stage.name for stage in read_place(run.folder).stages] == ["demo", "align"]


def test_file_names_are_those_that_stages_write() -> None:
    assert run_folders.MANIFEST == MANIFEST
    assert f'FINDINGS_FILE = "{watch.GUARD_FILE}"' in GUARD.read_text(), "read as text: to load it takes torch"


def test_an_empty_folder_holds_no_runs(tmp_path: Path) -> None:
    assert find_runs(tmp_path) == []
