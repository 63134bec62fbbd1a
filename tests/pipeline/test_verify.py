"""A cure is tried in a folder of its own; the stage stays as it was, and what cannot be tried is refused."""

import shutil
import xml.etree.ElementTree
from pathlib import Path

import pytest

from boresight.errors import DataError, PausedError
from boresight.pipeline.run import run_pipeline
from boresight.pipeline.verify import try_cure
from boresight.pipeline.verify_report import as_object, as_text, save
from boresight.runlog.reader import read_metrics
from boresight.storage import hash_tree, read_json

from . import tiny_pipeline as tiny

BROKEN = (
    "stages.rloo.learning_rate=0.3", "stages.rloo.schedule=constant", "stages.rloo.steps=24",
    "stages.rloo.guard_every=8", "stages.rloo.kl_coefficient=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def broken(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose stage rloo has lost its policy."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(built, folder / "copy")
    pipeline = tiny.load(folder / "copy" / "data", *BROKEN, "stages.rloo.on_finding=note")
    run_pipeline(pipeline, folder / "copy" / "run", only="rloo", say=lambda line: None)
    return folder / "copy" / "run"


@pytest.mark.slow
def test_prescribed_change_cures_a_broken_stage_and_both_curves_are_kept(broken: Path) -> None:
    stage = broken / "stages" / "rloo"
    before = hash_tree(stage)
    trial = try_cure(stage, finding="identical_outputs", steps=16)
    save(trial)
    assert (trial.outcome, trial.began_at, trial.steps) == ("cured", 0, 16)
    assert trial.changes == {"kl_coefficient": (0.0, 0.2), "learning_rate": (0.3, 0.06)}
    assert hash_tree(stage) == before
    found = read_json(trial.folder / "comparison.json")
    assert found == as_object(trial) and len(found["curves"]["policy/kl_to_reference"]["after"]) == 16
    assert "identical_outputs" not in {one["id"] for one in found["findings_after"]}
    xml.etree.ElementTree.parse(trial.folder / "comparison.svg")
    assert "kl_coefficient 0.0 → 0.2" in as_text(trial) and "cured" in as_text(trial)
    assert not (trial.folder / "model").exists()


@pytest.mark.slow
def test_paused_stage_goes_on_from_its_checkpoint_where_the_fault_came_later(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "copy")
    run = tmp_path / "copy" / "run"
    pipeline = tiny.load(tmp_path / "copy" / "data", *BROKEN, "stages.rloo.on_finding=pause")
    with pytest.raises(PausedError):
        run_pipeline(pipeline, run, only="rloo", say=lambda line: None)
    stage = run / "stages" / "rloo.partial"
    trial = try_cure(stage, finding="kl_runaway", steps=8)
    first, after = (
        dict(read_metrics(folder / "metrics.jsonl").series("reward/score")) for folder in (stage, trial.folder)
    )
    assert trial.began_at == 8 and trial.changes == {"kl_coefficient": (0.0, 0.2)}
    assert [after[step] for step in range(8)] == [first[step] for step in range(8)] and len(after) == 16
    coefficient = dict(read_metrics(trial.folder / "metrics.jsonl").series("policy/kl_coefficient"))
    assert (coefficient[7], coefficient[8]) == (0.0, 0.2)


@pytest.mark.parametrize(
    ("stage", "finding", "reason"),
    [
        ("scorer", None, "a stage of the kind reward_model"),
        ("ppo", "reward_hacking", "no finding reward_hacking was found"),
        ("..", None, "wants the folder of one"),
    ],
)
def test_what_cannot_be_tried_is_refused(built: Path, stage: str, finding: str | None, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        try_cure(built / "run" / "stages" / stage, finding=finding)


def test_finding_that_no_setting_cures_is_refused_with_what_it_wants(broken: Path) -> None:
    with pytest.raises(DataError, match="missing_eos wants demonstrations whose stop token counts"):
        try_cure(broken / "stages" / "rloo", finding="missing_eos")


def test_stage_whose_settings_the_pipeline_no_longer_has_is_refused(broken: Path, tmp_path: Path) -> None:
    shutil.copytree(broken, tmp_path / "run")
    text = (tmp_path / "run" / "pipeline.yaml").read_text()
    (tmp_path / "run" / "pipeline.yaml").write_text(text.replace("learning_rate: 0.3", "learning_rate: 0.2"))
    with pytest.raises(DataError, match=r"other settings than this stage ran with \(learning_rate\)"):
        try_cure(tmp_path / "run" / "stages" / "rloo")
