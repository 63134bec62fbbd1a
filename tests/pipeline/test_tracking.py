"""A run under a tracker: settings and lineage as hyperparameters, and not a byte of any artifact changed."""

import importlib.util
from pathlib import Path

import pytest

from boresight.errors import ConfigError
from boresight.pipeline.run import run_pipeline
from boresight.pipeline.tracking import tracker_findings
from boresight.runlog.reader import read_metrics
from boresight.storage import read_json

from ..trackers.stored import tensorboard
from . import tiny_pipeline as tiny

TEXT = tiny.TEXT.split("  drafts:")[0]


def test_a_run_that_reports_is_the_same_run(built: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("tensorboard") is None:
        pytest.skip("tensorboard is not installed (pip install 'boresight[track-tensorboard]')")
    pipeline = tiny.load(built / "data", "run.report_to=[tensorboard]", text=TEXT)
    run_pipeline(pipeline, tmp_path / "run", say=lambda line: None)
    stage = tmp_path / "run/stages/demo"
    points, settings = tensorboard(tmp_path / "run/trackers/tensorboard/demo")
    log = read_metrics(stage)
    assert points["loss/total"] == [(step, pytest.approx(value, rel=1e-6)) for step, value in log.series("loss/total")]
    assert points["train/learning_rate"] == points["optim/learning_rate"]
    assert (
        settings["config.learning_rate"] == 5e-3
        and settings["lineage.key"] == read_json(stage / "manifest.json")["key"]
    )
    assert settings["lineage.inputs.data"].startswith('["demonstrations.jsonl@')
    found, expected = tiny.artifacts(stage), tiny.artifacts(built / "run/stages/demo")
    assert {name: found[name] for name in expected if name != "MODEL_CARD.md"} == expected
    assert not list(stage.glob("trackers.json*"))


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_written(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    pipeline = tiny.load(built / "data", "run.report_to=[wandb]", text=TEXT)
    with pytest.raises(ConfigError, match="boresight\\[track-wandb\\]"):
        run_pipeline(pipeline, tmp_path / "run", say=lambda line: None)
    assert not (tmp_path / "run").exists()
    assert [(found.id, found.severity) for found in tracker_findings(pipeline)] == [("tracker_missing", "error")]
