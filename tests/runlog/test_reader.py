from pathlib import Path

import pytest

from boresight.errors import DataError
from boresight.runlog.reader import Difference, Point, PointPair, align, by_split, compare, read_metrics
from boresight.runlog.writer import MetricsWriter


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    writer = MetricsWriter(tmp_path)
    for step in range(3):
        writer.append(step, {"loss/total": 3.0 - step, "time/step_seconds": 0.5})
    writer.append(2, {"eval/accuracy": 0.75}, split="held_out")
    return tmp_path


def test_rows_become_columns_with_none_where_a_row_has_no_value(stage: Path) -> None:
    table = read_metrics(stage / "metrics.jsonl")
    assert table.steps == [0, 1, 2, 2]
    assert table.splits == ["train", "train", "train", "held_out"]
    assert table.columns == {"loss/total": [3.0, 2.0, 1.0, None], "eval/accuracy": [None, None, None, 0.75]}


def test_a_stage_folder_is_read_with_its_timings_in_the_same_rows(stage: Path) -> None:
    table = read_metrics(stage)
    assert table.steps == [0, 1, 2, 2]
    assert table.columns["time/step_seconds"] == [0.5, 0.5, 0.5, None]


def test_series_are_taken_by_name_and_split(stage: Path) -> None:
    table = read_metrics(stage)
    assert table.series("loss/total") == [Point(0, 3.0), Point(1, 2.0), Point(2, 1.0)]
    assert table.series("eval/accuracy") == [] and table.series("policy/entropy") == []
    assert table.series("eval/accuracy", "held_out") == [Point(2, 0.75)]
    assert (table.last("loss/total"), table.last("loss/total", "held_out")) == (1.0, None)
    assert by_split(table, "eval/accuracy") == {"held_out": [Point(2, 0.75)]}


@pytest.mark.parametrize(
    "torn", ['{"step": 3, "split": "tr', '{"step": 3', "{", '{"step": 3, "split": "train", "x": "\xe2']
)
def test_a_last_line_that_was_cut_off_is_passed_over(stage: Path, torn: str) -> None:
    whole = read_metrics(stage)
    with (stage / "metrics.jsonl").open("ab") as stream:
        stream.write(torn.encode("latin-1"))
    assert read_metrics(stage) == whole


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"step": 3', r"metrics.jsonl:5: not JSON"),
        ('{"step": 3}', r'metrics.jsonl:5: found \{"step": 3\}; expected an object with "step"'),
        ('{"step": 1.5, "split": "train"}', r'metrics.jsonl:5: found .*expected an object with "step"'),
        ("[1]", r'metrics.jsonl:5: found \[1\]; expected an object with "step"'),
        (
            '{"step": 3, "split": "train", "loss/total": "low"}',
            r'metrics.jsonl:5: loss/total is "low"; expected a number',
        ),
        (
            '{"step": 3, "split": "train", "loss/total": true}',
            r"metrics.jsonl:5: loss/total is true; expected a number",
        ),
        (
            '{"step": 1, "split": "train", "loss/total": 2.0}',
            r"metrics.jsonl:5: loss/total of step 1 \(train\) stands in this log before",
        ),
    ],
)
def test_a_line_that_is_no_row_is_told_with_its_number(stage: Path, line: str, message: str) -> None:
    with (stage / "metrics.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(DataError, match=message):
        read_metrics(stage)


def test_a_missing_log_is_told_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"metrics.jsonl: no such file; expected the metrics of a stage"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.jsonl").touch()
    assert read_metrics(tmp_path).columns == {}


def test_runs_are_aligned_at_the_steps_they_share(tmp_path: Path) -> None:
    first, second = MetricsWriter(tmp_path / "a"), MetricsWriter(tmp_path / "b")
    for step in (0, 1, 2, 3):
        first.append(step, {"loss/total": float(step), "policy/entropy": 1.0})
    for step in (1, 2, 3, 4):
        second.append(step, {"loss/total": float(step) + (0.5 if step == 2 else 0.0) - (0.25 if step == 3 else 0.0)})
    tables = read_metrics(tmp_path / "a"), read_metrics(tmp_path / "b")
    assert align(*tables, "loss/total") == [PointPair(1, 1.0, 1.0), PointPair(2, 2.0, 2.5), PointPair(3, 3.0, 2.75)]
    assert compare(*tables) == [Difference("loss/total", "train", 3, 2, 0.5, 2)]
    assert compare(tables[0], tables[0]) == [
        Difference("loss/total", "train", 4, None, 0.0, 0),
        Difference("policy/entropy", "train", 4, None, 0.0, 0),
    ]
