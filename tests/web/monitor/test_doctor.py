"""Visits: when the log has changed, not too often, and with the step at which each finding came."""

from pathlib import Path

import pytest

from boresight.web.monitor import doctor as visits
from boresight.web.monitor.doctor import SECONDS_BETWEEN, Doctor
from tests.web.monitor.growing_run import GrowingRun
from tests.web.tiny_face import Clock


def test_the_report_is_that_of_diagnose(tmp_path: Path) -> None:
    run = GrowingRun(tmp_path)
    run.grow(60)
    report = Doctor().report(run.stage, "ppo", 59, {})
    assert report is not None and report["verdict"] == "healthy"
    assert report["steps"] == 60 and "the reward rises" in report["explanation"]


def test_a_log_without_rows_says_nothing(tmp_path: Path) -> None:
    run = GrowingRun(tmp_path)
    assert Doctor().report(run.stage, "ppo", None, {}) is None
    (run.stage / "metrics.jsonl").write_text('{"step": 0, "spl')
    report = Doctor().report(run.stage, "ppo", None, {})
    assert report is not None and report["verdict"] == "unclear"


def test_a_changed_log_is_looked_at_again_after_a_while(tmp_path: Path) -> None:
    run, clock = GrowingRun(tmp_path), Clock()
    run.grow(20)
    doctor = Doctor(clock)
    first = doctor.report(run.stage, "ppo", 19, {})
    run.grow(20)
    assert doctor.report(run.stage, "ppo", 39, {}) is first
    clock.now += SECONDS_BETWEEN
    second = doctor.report(run.stage, "ppo", 39, {})
    assert second is not None and second["steps"] == 40
    clock.now += 1000
    assert doctor.report(run.stage, "ppo", 39, {}) is second, "an unchanged log is not read again"


def test_a_stage_that_is_moved_to_its_place_during_a_look_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, clock = GrowingRun(tmp_path), Clock()
    run.grow(20)
    finished, look = tmp_path / "finished", visits.read_stage

    def moved_meanwhile(folder: Path, kind: str) -> visits.Any:
        if folder == run.stage:
            folder.rename(finished)
        return look(folder, kind)

    monkeypatch.setattr(visits, "read_stage", moved_meanwhile)
    doctor = Doctor(clock)
    assert doctor.report(run.stage, "ppo", 19, {}) is None
    clock.now += SECONDS_BETWEEN
    report = doctor.report(finished, "ppo", 19, {})
    assert report is not None and report["steps"] == 20


def test_a_long_look_is_followed_by_a_long_rest(tmp_path: Path) -> None:
    run = GrowingRun(tmp_path)
    run.grow(20)
    times = iter([0.0, 0.0, 6.0, 6.0, 30.0, 61.0, 61.0, 61.0, 61.0])
    doctor = Doctor(lambda: next(times))
    first = doctor.report(run.stage, "ppo", 19, {})  # took 6 s: the next not before 6 + 60
    run.grow(1)
    assert doctor.report(run.stage, "ppo", 20, {}) is first
    assert doctor.report(run.stage, "ppo", 20, {}) is first


def test_a_finding_keeps_the_step_at_which_it_came_and_the_guard_knows_better(tmp_path: Path) -> None:
    run, clock = GrowingRun(tmp_path), Clock()
    run.grow(60)
    doctor = Doctor(clock)
    doctor.report(run.stage, "ppo", 59, {})
    run.grow(20)
    clock.now += 60
    report = doctor.report(run.stage, "ppo", 79, {})
    assert report is not None and [finding["since_step"] for finding in report["findings"]] == [59]
    told = {"healthy": {"id": "healthy", "step": 31}}
    report = Doctor().report(run.stage, "ppo", 79, told)
    assert report is not None and [finding["since_step"] for finding in report["findings"]] == [31]
