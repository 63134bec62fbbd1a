"""A stage that the doctor pauses: through the whole run, with the same command again, to its result."""

import shutil
from pathlib import Path

import pytest

from boresight.cli.faults import told
from boresight.errors import ConfigError, PausedError
from boresight.pipeline.run import run_pipeline
from boresight.storage import read_json

from . import tiny_pipeline as tiny

BROKEN = (
    "stages.rloo.learning_rate=0.3", "stages.rloo.schedule=constant", "stages.rloo.steps=16",
    "stages.rloo.guard_every=8", "stages.rloo.kl_coefficient=0", "stages.rloo.on_finding=pause",
)  # fmt: skip


def test_paused_run_goes_on_with_the_same_command_and_its_result_has_the_findings(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "copy")
    out = tmp_path / "copy" / "run"
    pipeline = tiny.load(tmp_path / "copy" / "data", *BROKEN)
    pauses = 0
    for _ in range(4):
        try:
            run_pipeline(pipeline, out, only="rloo", say=lambda line: None)
            break
        except PausedError as paused:
            lines = told(paused)
            assert lines is not None and lines[0].startswith("paused: after step ")
            assert (out / "stages/rloo.partial/checkpoint.pt").exists()
            pauses += 1
    folder = out / "stages" / "rloo"
    findings = read_json(folder / "result.json")["findings"]
    assert pauses >= 1 and len({finding["step"] for finding in findings}) <= pauses
    assert all({"id", "severity", "step", "cause", "action"} <= set(finding) for finding in findings) and findings
    assert "findings.json" in read_json(folder / "manifest.json")["outputs"]


def test_unknown_answer_to_a_finding_is_refused(built: Path) -> None:
    with pytest.raises(ConfigError, match="on_finding"):
        tiny.load(built / "data", "stages.rloo.on_finding=panic")
