"""Stages built anew: once each, across interruptions where a file remembers them."""

from pathlib import Path

from boresight.pipeline.anew import Anew
from boresight.pipeline.artifacts import RunFolder


def left_by_an_earlier_run(runs: RunFolder, name: str) -> Path:
    folder = runs.partial(name)
    folder.mkdir(parents=True)
    return folder


def test_what_an_earlier_run_left_is_removed_and_what_this_one_left_is_not(tmp_path: Path) -> None:
    runs, file = RunFolder(tmp_path / "run"), tmp_path / "begun"
    partial = left_by_an_earlier_run(runs, "demo")
    Anew({"demo"}, file).begin("demo", runs)
    assert not partial.exists()
    left_by_an_earlier_run(runs, "demo")
    again = Anew({"demo"}, file)
    again.begin("demo", runs)
    assert partial.exists() and "demo" in again


def test_a_stage_that_is_done_is_not_built_again_by_the_same_run(tmp_path: Path) -> None:
    runs, file = RunFolder(tmp_path / "run"), tmp_path / "begun"
    anew = Anew({"demo", "dpo"}, file)
    anew.begin("demo", runs)
    anew.done("demo")
    again = Anew({"demo", "dpo"}, file)
    assert "demo" not in again and "dpo" in again


def test_without_a_file_every_run_begins_anew(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path / "run")
    Anew({"demo"}, None).done("demo")
    assert "demo" in Anew({"demo"}, None)
    partial = left_by_an_earlier_run(runs, "base")
    Anew({"demo"}, None).begin("base", runs)
    assert partial.exists()
