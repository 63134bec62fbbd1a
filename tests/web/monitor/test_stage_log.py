"""Columns of a log that grows, is cut back and holds what is no row."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boresight.runlog.writer import MetricsWriter
from boresight.web.monitor.stage_log import StageLog, thinned
from tests.web.monitor.growing_run import GrowingRun


def points(log: StageLog, cursor: str = "") -> dict[tuple[str, str], tuple[list[float], list[float]]]:
    return {(one.name, one.split): (one.steps, one.values) for one in log.since(cursor)[1]}


def test_a_page_is_given_what_came_after_its_cursor(tmp_path: Path) -> None:
    run, log = GrowingRun(tmp_path), StageLog()
    run.grow(3)
    log.refresh(run.stage)
    fresh, _ = log.since("")
    assert fresh and points(log)["reward/score", "train"][0] == [0, 1, 2]
    cursor = log.cursor
    assert log.since(cursor) == (False, [])
    run.grow(2)
    log.refresh(run.stage)
    assert points(log, cursor)["reward/score", "train"][0] == [3, 4]
    assert points(log, cursor)["time/step_seconds", "train"][0] == [3, 4]


def test_values_are_those_of_the_log(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    writer.append(0, {"loss/total": 1.5})
    writer.append(1, {"loss/total": 1.25, "data/epoch": 0.5})
    writer.append(1, {"loss/total": 2.0}, split="eval")
    log = StageLog()
    log.refresh(tmp_path)
    assert points(log) == {
        ("loss/total", "train"): ([0, 1], [1.5, 1.25]),
        ("data/epoch", "train"): ([1], [0.5]),
        ("loss/total", "eval"): ([1], [2.0]),
    }
    assert log.last("loss/total") == 1.25 and log.last("loss/total", "eval") == 2.0 and log.last_step == 1


@pytest.mark.parametrize("grown", [1, 3, 9])
def test_a_run_that_went_back_to_a_checkpoint_is_given_whole_again(tmp_path: Path, grown: int) -> None:
    run, log = GrowingRun(tmp_path), StageLog()
    run.grow(3)
    checkpoint = run.writer.position()
    run.grow(3)
    log.refresh(run.stage)
    cursor = log.cursor
    run.writer.rewind(checkpoint)
    run.noise = 0.5
    run.steps = 3
    run.grow(grown, "Another answer.")
    log.refresh(run.stage)
    fresh, _ = log.since(cursor)
    steps = list(range(3 + grown))
    assert fresh and points(log, cursor)["reward/score", "train"][0] == steps
    assert [sample["step"] for sample in log.samples_last] == [step for step in steps for _ in range(4)]


def test_a_finished_stage_is_read_on_in_its_place(tmp_path: Path) -> None:
    run, log = GrowingRun(tmp_path), StageLog()
    run.grow(3)
    log.refresh(run.stage)
    cursor = log.cursor
    log.refresh(run.finish())
    assert log.since(cursor) == (False, [])


def test_what_is_no_row_is_passed_over_and_counted(tmp_path: Path) -> None:
    rows = ['{"step": 0, "split": "train", "loss/total": 1.0}', "nonsense", "[1]", '{"loss/total": 1}', "",
            '{"step": 1, "split": "train", "loss/total": NaN, "a": "text", "b": true, "c": null}',
            '{"step": 2, "loss/total": 3}', '{"step": "2", "loss/total": 3}',
            '{"step": 3, "loss/total": 1' + "0" * 400 + "}", '{"step": 4, "loss/tot']  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("\n".join(rows))
    (tmp_path / "samples.jsonl").write_text('{"step": 0, "response": "a"}\n{"step": 0}\n{"step": 1, "resp')
    log = StageLog()
    log.refresh(tmp_path)
    assert points(log) == {("loss/total", "train"): ([0, 2], [1.0, 3.0])}
    assert log.unreadable == 5 and len(log.samples_last) == 1


def test_nonsense_as_a_cursor_gives_everything(tmp_path: Path) -> None:
    run, log = GrowingRun(tmp_path), StageLog()
    run.grow(2)
    log.refresh(run.stage)
    for cursor in ("", "x", "0-", "0-x", "-1--1", "0-99", "7-1", "0-²"):
        assert log.since(cursor)[0], cursor


def test_what_is_told_once_of_the_whole_stage_is_not_drawn(tmp_path: Path) -> None:
    MetricsWriter(tmp_path).append(0, {"time/stage_seconds": 12.0}, split="stage")
    log = StageLog()
    log.refresh(tmp_path)
    assert log.names == [] and log.since("") == (True, [])


def test_a_long_log_is_thinned_but_its_peaks_stay(tmp_path: Path) -> None:
    rows = [
        {"step": step, "split": "train", "loss/total": 1000.0 if step == 7777 else step % 7} for step in range(20_000)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    log = StageLog()
    log.refresh(tmp_path)
    steps, values = points(log)["loss/total", "train"]
    assert len(steps) <= 2000 and max(values) == 1000.0 and steps[values.index(1000.0)] == 7777


@given(st.lists(st.floats(-1e9, 1e9), max_size=300), st.integers(2, 40))
def test_thinning_keeps_order_ends_of_the_range_and_real_points(values: list[float], most: int) -> None:
    steps = [float(step) for step in range(len(values))]
    kept_steps, kept = thinned(steps, values, most)
    assert len(kept) <= max(most, 0) or len(kept) == len(values) <= most
    assert kept_steps == sorted(set(kept_steps)) and kept == [values[int(step)] for step in kept_steps]
    if values:
        assert (min(kept), max(kept)) == (min(values), max(values))
