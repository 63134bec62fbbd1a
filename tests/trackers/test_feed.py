"""Trackers follow the log: what they store, what a kill and a fault of theirs leave, and what they are never told."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from boresight.config.section_bases import TRACKERS, TrackerName
from boresight.errors import ConfigError
from boresight.runlog.reader import read_metrics
from boresight.runlog.writer import MetricsWriter
from boresight.trackers.feed import PLACES, Feed, flat, refuse_missing
from boresight.trackers.tracker import RunCard, last_of, tracked_names

from .stored import READERS

STAGE = Path(__file__).with_name("stage_under_trackers.py")
OFFLINE = {
    "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",
}  # fmt: skip


INSTALLED = [name for name in TRACKERS if importlib.util.find_spec(PLACES[name].package) is not None]


def stage(folder: Path, steps: int, *killed_after: int) -> subprocess.CompletedProcess[str]:
    """The stage in a process of its own, its trackers' homes in `folder`."""
    homes = {"TRACKIO_DIR": str(folder / "trackers"), "WANDB_DIR": str(folder / "trackers"), "HOME": str(folder)}
    others = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "MLFLOW", "TRACKIO"))}
    command = [sys.executable, str(STAGE), str(folder), ",".join(INSTALLED), str(steps), *map(str, killed_after)]
    return subprocess.run(
        command, env={**others, **OFFLINE, **homes}, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A stage of 9 steps under every tracker that is installed, killed after step 6 and gone on with."""
    if not INSTALLED:
        pytest.skip(f"none of {', '.join(TRACKERS)} is installed (pip install 'boresight[dev]')")
    folder = tmp_path_factory.mktemp("tracked")
    killed = stage(folder, 9, 6)  # the last checkpoint is from before step 6
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    return folder, stage(folder, 9)


@pytest.mark.slow
def test_a_stage_under_trackers_ends_and_asks_no_other_machine(
    tracked: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    ended = tracked[1]
    assert ended.returncode == 0 and "warning: " not in ended.stderr, ended.stderr
    assert json.loads(ended.stdout) == []  # and nothing else on stdout, which is for results


@pytest.mark.slow
@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_killed_stage_goes_on_in_the_same_run_without_a_step_twice(
    tracker: TrackerName, tracked: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    if tracker not in INSTALLED:
        pytest.skip(f"{PLACES[tracker].package} is not installed (pip install 'boresight[track-{tracker}]')")
    points, settings = READERS[tracker](tracked[0] / "trackers")
    log = read_metrics(tracked[0] / "align.partial")
    prefix = "" if tracker == "mlflow" else "train/"
    margin, loss = log.series("reward/margin"), log.series("loss/total")
    names = {"reward/margin": margin, f"{prefix}rewards/margins": margin, "loss/total": loss, f"{prefix}loss": loss}
    for name, expected in names.items():
        assert [step for step, _ in points[name]] == list(range(9)), name
        assert [value for _, value in points[name]] == pytest.approx([point.value for point in expected], rel=1e-6)
    assert [step for step, _ in points["held_out/eval/accuracy"]] == [0, 3, 6]
    assert len(points["time/step_seconds"]) == 9
    assert float(settings["config.beta"]) == 0.1 and settings["lineage.key"] == "abc"


class Recorder:
    """A tracker in memory, which may fail where it is told to."""

    prefix = "train/"

    def __init__(self, stored: dict[str, int] | None, fails_in: str = "") -> None:
        self.stored, self.fails_in = stored, fails_in
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.closed: list[bool] = []

    def open(self, card: RunCard) -> None:
        self.card = card
        self._fail("open")

    def last_steps(self) -> dict[str, int] | None:
        return self.stored

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._fail("log")
        self.rows.append((step, dict(values)))

    def close(self, *, finished: bool) -> None:
        self._fail("close")
        self.closed.append(finished)

    def _fail(self, where: str) -> None:
        if where == self.fails_in:
            raise OSError("no route\nto host")


def a_card(run_id: str) -> RunCard:
    return RunCard(run_id, "run", "align", "dpo", {}, Path("unused"))


def logged(folder: Path, steps: int) -> MetricsWriter:
    writer = MetricsWriter(folder)
    for step in range(steps):
        writer.append(step, {"loss/total": 1.0 + step})
    return writer


def test_rows_that_a_kill_kept_from_a_tracker_are_sent_from_the_log(tmp_path: Path) -> None:
    logged(tmp_path, 4)
    behind = Recorder({"train": 1})
    feed = Feed(["trackio"], a_card, make=lambda name: behind)
    feed.begin(tmp_path)
    feed.follow(3, "train", {"loss/total": 4.0})  # trained again after a resume
    feed.follow(4, "train", {"loss/total": 5.0})
    assert [step for step, _ in behind.rows] == [2, 3, 4]
    assert behind.rows[0][1] == {"loss/total": 3.0, "train/loss": 3.0}


def test_a_tracker_that_cannot_be_asked_is_believed_by_the_notes(tmp_path: Path) -> None:
    logged(tmp_path, 3)
    first, second = Recorder(None), Recorder(None)
    Feed(["wandb"], a_card, make=lambda name: first).begin(tmp_path)
    notes = tmp_path / "trackers.jsonl"
    notes.write_text(notes.read_text() + '["wandb", "train", 9')  # a line that a kill cut off
    Feed(["wandb"], a_card, make=lambda name: second).begin(tmp_path)
    assert [step for step, _ in first.rows] == [0, 1, 2] and second.rows == []
    assert first.card.id == second.card.id


def test_a_note_that_was_cut_off_before_others_ends_no_stage(tmp_path: Path) -> None:
    logged(tmp_path, 3)
    notes = '["wandb", "train", 0]\n["wandb", "tr["wandb", "train", 2]\n["wandb", "train", 1]\n'
    (tmp_path / "trackers.jsonl").write_text(notes)
    said: list[str] = []
    tracker = Recorder(None)
    Feed(["wandb"], a_card, said.append, make=lambda name: tracker).begin(tmp_path)
    assert [step for step, _ in tracker.rows] == [2] and said == []


@pytest.mark.parametrize("where", ["open", "log", "close"])
def test_a_tracker_that_fails_is_told_of_once_and_others_go_on(where: str, tmp_path: Path) -> None:
    said: list[str] = []
    made = {"wandb": Recorder({}, fails_in=where), "trackio": Recorder({})}
    feed = Feed(["wandb", "trackio"], a_card, said.append, make=lambda name: made[name])
    feed.begin(tmp_path)
    for step in range(3):
        feed.follow(step, "train", {"loss/total": 1.0})
    feed.close(finished=True)
    assert said == ["warning: wandb: no route to host (OSError). The run goes on without it; metrics.jsonl has all."]
    assert [step for step, _ in made["trackio"].rows] == [0, 1, 2] and made["trackio"].closed == [True]


def test_no_tracker_means_no_file_of_theirs(tmp_path: Path) -> None:
    feed = Feed()
    feed.begin(tmp_path)
    feed.follow(0, "train", {"loss/total": 1.0})
    feed.close(finished=True)
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_missing_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"run.report_to: mlflow: .* not installed.*boresight\[track-mlflow\]"):
        refuse_missing(["mlflow"])


def test_names_of_other_splits_stand_behind_them_and_are_found_again() -> None:
    train = tracked_names("dpo", "train", {"reward/margin": 1.0, "eval/accuracy": 0.5}, "train/")
    assert train == {"reward/margin": 1.0, "eval/accuracy": 0.5, "train/rewards/margins": 1.0}
    held_out = tracked_names("dpo", "eval", {"reward/margin": 1.0}, "train/")
    assert held_out == {"eval/reward/margin": 1.0}
    stored = [(name, 7) for name in train] + [(name, 3) for name in held_out] + [("timestamp", 9), ("step", 9)]
    assert last_of(stored) == {"train": 7, "eval": 3}


def test_settings_become_flat_numbers_and_texts() -> None:
    assert flat({"a": {"b": 1, "c": [1, {"d": 2}]}, "e": None, "f": True}) == {
        "a.b": 1,
        "a.c": '[1, {"d": 2}]',
        "f": True,
    }
