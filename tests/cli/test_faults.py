"""What a fault is told as, for every library that can meet a full disk."""

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from boresight.cli.faults import told
from boresight.errors import ConfigError, DataError, PausedError, StorageError
from boresight.pipeline.check_findings import Finding, RefusedError
from boresight.storage import as_storage_error

FULL = Path("/dev/full")


def test_each_problem_of_a_config_has_a_line_and_the_label() -> None:
    assert told(ConfigError(["a.yaml:1: x", "a.yaml:2: y"])) == [
        "config error: a.yaml:1: x",
        "config error: a.yaml:2: y",
    ]


def test_a_paused_run_is_told_as_that_and_not_as_an_error() -> None:
    assert told(PausedError("after step 9: kl_runaway")) == ["paused: after step 9: kl_runaway"]


def test_errors_of_a_check_keep_the_family_they_belong_to() -> None:
    refused = RefusedError(
        [
            Finding("data_unusable", "error", "pairs", "pairs.csv:3: no", DataError),
            Finding("policy_not_fine_tuned", "error", None, "never"),
        ]
    )
    lines = told(refused) or []
    assert lines[:2] == ["data error: stage pairs: pairs.csv:3: no", "config error: never"]
    assert "Nothing was run" in lines[2]


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_full_disk_is_told_with_the_file() -> None:
    with pytest.raises(OSError) as full, FULL.open("w") as stream:
        stream.write("x" * 100_000)
    error = as_storage_error(OSError(full.value.errno, os.strerror(full.value.errno or 0), "runs/a/model"))
    assert error is not None and str(error).startswith("runs/a/model: the disk is full")
    assert as_storage_error(full.value) is not None


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_full_disk_under_torch_is_told_as_a_full_disk() -> None:
    # Checkpoints go through a stream of Python's own: its OSError stands behind what torch raises.
    with pytest.raises((RuntimeError, OSError)) as failed, FULL.open("wb") as stream:
        torch.save({"weights": torch.zeros(100_000)}, stream)
    (line,) = told(failed.value) or [""]
    assert line.startswith("storage error: ") and "the disk is full" in line


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        StorageError("x: the disk is full"),
    ],
)
def test_every_spelling_of_a_full_disk_is_one_fault(error: Exception) -> None:
    lines = told(error)
    assert lines is not None and lines[0].startswith("storage error: ") and "the disk is full" in lines[0]


def test_a_full_disk_behind_another_error_is_found() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as cause:
            raise RuntimeError("could not save") from cause
    except RuntimeError as error:
        assert as_storage_error(error) is not None


@pytest.mark.parametrize("name", ["file/x", "x" * 300, "loop/x"])
def test_a_path_that_can_lead_nowhere_is_told_with_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError) as failed:
        (tmp_path / name).mkdir()
    (line,) = told(failed.value) or [""]
    assert line.startswith(f"storage error: {tmp_path / name}: no such place (") and "Correct the path" in line


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(errno.EIO, "I/O error"), KeyError("x")])
def test_other_faults_are_left_alone(error: Exception) -> None:
    assert told(error) is None
