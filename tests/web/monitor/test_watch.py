"""What is kept between questions, and that many may ask at once."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from boresight.web.monitor import watch as module
from boresight.web.monitor.watch import Watch
from tests.web.monitor.growing_run import GrowingRun, metrics_at
from tests.web.tiny_face import Clock


def align(watch: Watch) -> tuple[module.RunPlace, module.StagePlace]:
    run = watch.places()["helper"]
    stage = run.stage("align")
    assert stage is not None
    return run, stage


def test_progress_is_told_by_steps_and_the_time_left_by_their_pace(tmp_path: Path) -> None:
    GrowingRun(tmp_path).grow(50)
    watch = Watch(tmp_path)
    view = watch.stage_view(*align(watch))
    assert (view.step, view.steps, view.progress) == (49, 200, 0.25)
    assert view.seconds_left == pytest.approx(150 * 2.0, rel=0.05)


def test_progress_is_told_by_epochs_where_steps_are_not_set(tmp_path: Path) -> None:
    run = GrowingRun(tmp_path)
    (run.stage / "config.json").write_text(json.dumps({"kind": "sft", "epochs": 2}))
    run.writer.append(0, {"data/epoch": 0.5})
    watch = Watch(tmp_path)
    view = watch.stage_view(*align(watch))
    assert (view.steps, view.progress, view.seconds_left) == (None, 0.25, None)


def test_latest_values_are_those_of_the_last_row_and_what_is_missing_is_said(tmp_path: Path) -> None:
    run = GrowingRun(tmp_path)
    run.grow(5)
    watch = Watch(tmp_path)
    latest = {one.title: one.value for one in watch.latest(*align(watch))}
    expected = metrics_at(4)
    assert latest["Reward"] == expected["reward/score"] and latest["Entropy"] == expected["policy/entropy"]
    rows = [json.loads(line) for line in (run.stage / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        del row["policy/entropy"]
    (run.stage / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert {one.title: one.value for one in watch.latest(*align(watch))}["Entropy"] is None


def test_newest_responses_and_those_of_the_beginning(tmp_path: Path) -> None:
    run = GrowingRun(tmp_path)
    run.grow(1)
    watch = Watch(tmp_path)
    shown = watch.responses(*align(watch))
    assert len(shown.now) == 4 and shown.begin == []
    run.grow(2)
    shown = watch.responses(*align(watch))
    assert {one["step"] for one in shown.now} == {2} and {one["step"] for one in shown.begin} == {0}


def test_the_folder_is_read_again_after_a_moment(tmp_path: Path) -> None:
    clock = Clock()
    watch = Watch(tmp_path, clock)
    assert watch.runs() == []
    GrowingRun(tmp_path)
    assert watch.runs() == []
    clock.now += module.SECONDS_KEPT
    assert [run.name for run in watch.runs()] == ["helper"]
    shutil.rmtree(tmp_path)
    clock.now += module.SECONDS_KEPT
    assert watch.runs() == []


def test_the_list_of_runs_does_not_read_logs_of_finished_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = GrowingRun(tmp_path)
    run.grow(3)
    read: list[Path] = []
    refresh = module.StageLog.refresh
    monkeypatch.setattr(module.StageLog, "refresh", lambda log, folder: (read.append(folder), refresh(log, folder)))
    Watch(tmp_path).runs()
    assert {folder.name for folder in read} == {"align.partial"}


def test_a_log_is_read_on_by_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    GrowingRun(tmp_path).grow(3)
    watch = Watch(tmp_path)
    place = align(watch)
    inside, together, second = threading.Lock(), list[bool](), threading.Event()

    def refresh(log: module.StageLog, folder: Path) -> None:
        alone = inside.acquire(blocking=False)
        together.append(not alone)
        if not alone:
            second.set()
            return
        second.wait(0.3)  # time for another to come in, if it may
        inside.release()

    monkeypatch.setattr(module.StageLog, "refresh", refresh)
    with ThreadPoolExecutor(2) as pool:
        assert all(one.result() is not None for one in [pool.submit(watch.series, *place, "") for _ in range(2)])
    assert together == [False, False]


def test_many_who_ask_at_once_while_the_run_grows_each_get_every_point_once(tmp_path: Path) -> None:
    run = GrowingRun(tmp_path)
    run.grow(1)
    watch = Watch(tmp_path)
    place = align(watch)

    def follow(_: int) -> list[float]:
        steps, cursor = list[float](), ""
        while not steps or steps[-1] < 79:
            answer = watch.series(*place, cursor)
            cursor = answer["cursor"]
            watch.latest(*place)
            watch.stage_view(*place, closely=False)
            for one in answer["series"]:
                if one["name"] == "reward/score":
                    steps += one["steps"]
        return steps

    with ThreadPoolExecutor(6) as pool:
        followers = [pool.submit(follow, number) for number in range(5)]
        for _ in range(79):
            run.grow(1)
        for follower in followers:
            assert follower.result(timeout=60) == [float(step) for step in range(80)]
