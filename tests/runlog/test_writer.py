import json
from pathlib import Path

import pytest

from boresight.errors import CheckpointError, StorageError, TrainingError
from boresight.runlog.writer import MetricsWriter


def text(folder: Path, name: str) -> str:
    path = folder / name
    return path.read_text() if path.exists() else ""


def test_metrics_and_timings_go_to_their_own_files_in_one_spelling(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path / "stage")
    writer.append(3, {"reward/score": 1 / 3, "time/step_seconds": 2, "loss/total": 1e-7, "memory/peak_gib": 0.5})
    writer.append(3, {"eval/accuracy": 1.0}, split="held_out")
    assert text(tmp_path / "stage", "metrics.jsonl") == (
        '{"step": 3, "split": "train", "loss/total": 1e-07, "reward/score": 0.3333333333333333}\n'
        '{"step": 3, "split": "held_out", "eval/accuracy": 1.0}\n'
    )
    assert text(tmp_path / "stage", "timings.jsonl") == (
        '{"step": 3, "split": "train", "memory/peak_gib": 0.5, "time/step_seconds": 2.0}\n'
    )


def test_equal_metrics_in_another_order_give_equal_bytes(tmp_path: Path) -> None:
    metrics = {"loss/total": 0.1 + 0.2, "policy/entropy": 5e-324, "reward/score": -1e300}
    MetricsWriter(tmp_path / "a").append(0, metrics)
    MetricsWriter(tmp_path / "b").append(0, dict(reversed(metrics.items())))
    assert text(tmp_path / "a", "metrics.jsonl") == text(tmp_path / "b", "metrics.jsonl")
    row = json.loads(text(tmp_path / "a", "metrics.jsonl"))
    assert {name: row[name] for name in metrics} == metrics


def test_a_row_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    for step in range(3):
        writer.append(step, {"loss/total": float(step)})
        assert text(tmp_path, "metrics.jsonl").count("\n") == step + 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["policy/kl_to_reference", "throughput/tokens_per_second"])
def test_a_value_that_is_not_finite_stops_the_run_and_nothing_is_written(
    tmp_path: Path, name: str, value: float
) -> None:
    writer = MetricsWriter(tmp_path)
    writer.append(6, {"loss/total": 1.0})
    with pytest.raises(TrainingError, match=rf"step 7: {name} is {value}; expected a finite number") as caught:
        writer.append(7, {"loss/total": 1.0, name: value, "time/step_seconds": 1.0})
    assert "lower the learning rate" in str(caught.value)
    assert text(tmp_path, "metrics.jsonl").count("\n") == 1 and text(tmp_path, "timings.jsonl") == ""


def test_an_unlisted_name_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"loss/totl: not in boresight\.runlog\.names"):
        MetricsWriter(tmp_path).append(0, {"loss/total": 1.0, "loss/totl": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_rewinding_to_a_position_and_going_on_gives_the_bytes_of_no_interruption(tmp_path: Path) -> None:
    def log(writer: MetricsWriter, steps: range) -> None:
        for step in steps:
            writer.append(step, {"loss/total": 1 / (step + 1), "time/step_seconds": 0.25})

    log(MetricsWriter(tmp_path / "whole"), range(6))
    writer = MetricsWriter(tmp_path / "killed")
    log(writer, range(3))
    position = json.loads(json.dumps(writer.position()))
    log(writer, range(3, 5))
    with (tmp_path / "killed/metrics.jsonl").open("a") as stream:
        stream.write('{"step": 5, "spl')
    resumed = MetricsWriter(tmp_path / "killed")
    resumed.rewind(position)
    log(resumed, range(3, 6))
    for name in ("metrics.jsonl", "timings.jsonl"):
        assert text(tmp_path / "killed", name) == text(tmp_path / "whole", name) != ""


def test_rewinding_to_nothing_empties_both_files(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    assert writer.position() == {"metrics.jsonl": 0, "timings.jsonl": 0, "samples.jsonl": 0}
    writer.rewind(writer.position())
    writer.append(0, {"loss/total": 1.0, "time/step_seconds": 1.0})
    writer.rewind({})
    assert text(tmp_path, "metrics.jsonl") == "" == text(tmp_path, "timings.jsonl")


def test_rows_that_are_lost_are_not_rewound_over(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    writer.append(0, {"loss/total": 1.0, "time/step_seconds": 1.0})
    position = writer.position()
    (tmp_path / "timings.jsonl").unlink()
    with pytest.raises(CheckpointError, match=r"timings.jsonl: 0 bytes, but the checkpoint was saved when it had \d+"):
        writer.rewind(position)
    assert text(tmp_path, "metrics.jsonl") != ""


def test_a_full_disk_is_a_storage_error_and_leaves_no_half_step(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    writer.append(0, {"loss/total": 1.0})
    # The kernel's device that is always full stands in for the second file: the first is written before it fails.
    (tmp_path / "timings.jsonl").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"timings.jsonl: the disk is full"):
        writer.append(1, {"loss/total": 1.0, "time/step_seconds": 1.0})
    assert text(tmp_path, "metrics.jsonl") == '{"step": 0, "split": "train", "loss/total": 1.0}\n'
