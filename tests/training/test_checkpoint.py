"""Folders of several processes, read by one; `test_process_group` has them written by two."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.state_dict_saver import save

from boresight.errors import CheckpointError
from boresight.training import checkpoint as module
from boresight.training.checkpoint import REST, Checkpoints
from boresight.training.processes import ALONE


def state(step: int) -> dict[str, Any]:
    moments = {0: {"exp_avg": torch.full((2,), step + 0.5), "step": torch.tensor(float(step))}}
    optimizer = {"state": moments, "param_groups": [{"lr": 0.1, "foreach": None, "params": [0]}]}
    parts = {
        "policy": {"weight": torch.full((2, 3), float(step))},
        "updater": {"optimizer": optimizer, "updates": step},
    }
    return {"key": "key", "next_step": step, "metrics_position": {"metrics.jsonl": 7}, "parts": parts}


def write_folder(folder: Path, step: int) -> Path:
    """As several processes leave it."""
    place = folder / "checkpoint" / str(step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is one process
        save(module._tensors(state(step)["parts"]), checkpoint_id=place, no_dist=True)
    torch.save(module._without_tensors(state(step)), place / REST)
    return place


def blank() -> dict[str, Any]:
    parts: dict[str, Any] = state(0)["parts"]
    return parts


def test_a_folder_comes_back_as_the_state_that_was_written(tmp_path: Path) -> None:
    place = write_folder(tmp_path, 4)
    checkpoints = Checkpoints(tmp_path, ALONE)
    assert checkpoints.latest() == place
    saved = checkpoints.read(place)
    assert (saved["next_step"], saved["metrics_position"]) == (4, {"metrics.jsonl": 7})
    parts, expected = checkpoints.fill(place, saved["parts"], blank), state(4)["parts"]
    assert torch.equal(parts["policy"]["weight"], expected["policy"]["weight"])
    assert parts["updater"]["updates"] == 4
    assert parts["updater"]["optimizer"]["param_groups"] == expected["updater"]["optimizer"]["param_groups"]
    for name, moment in expected["updater"]["optimizer"]["state"][0].items():
        assert torch.equal(parts["updater"]["optimizer"]["state"][0][name], moment)


@pytest.mark.parametrize(("file", "folder"), [(3, 5), (5, 3)])
def test_of_a_file_and_a_folder_that_a_kill_left_side_by_side_the_later_counts(
    file: int, folder: int, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path, ALONE)
    checkpoints.write(state(file))
    write_folder(tmp_path, folder)
    latest = checkpoints.latest()
    assert latest is not None and checkpoints.read(latest)["next_step"] == 5
    checkpoints.write(state(6))
    assert [left.name for left in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_tensors_that_are_not_trained_now_are_refused(tmp_path: Path) -> None:
    place = write_folder(tmp_path, 4)
    checkpoints = Checkpoints(tmp_path, ALONE)
    less = blank()
    del less["updater"]["optimizer"]["state"][0]["exp_avg"]
    with pytest.raises(
        CheckpointError, match=r"checkpoint/4: holds updater/optimizer/state/0/exp_avg, which this stage"
    ):
        checkpoints.fill(place, checkpoints.read(place)["parts"], lambda: less)


@pytest.mark.parametrize("damage", ["cut short", "gone"])
def test_a_damaged_folder_is_named_with_what_to_do(damage: str, tmp_path: Path) -> None:
    place = write_folder(tmp_path, 4)
    if damage == "gone":
        (place / REST).unlink()
    else:
        (place / REST).write_bytes((place / REST).read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"checkpoint/4: cannot be read .* Remove the folder to start"):
        Checkpoints(tmp_path, ALONE).read(place)
