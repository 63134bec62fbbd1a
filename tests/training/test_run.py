import math
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.errors import CheckpointError, StorageError
from boresight.models.loading import save_model
from boresight.runlog.reader import read_metrics
from boresight.training.run import Run
from boresight.training.sft import train_sft

from . import tiny_world as tiny


class Counter:
    """Something that changes while training."""

    def __init__(self) -> None:
        self.value = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.value = state["value"]


def count(run: Run, counter: Counter, total: int, stop_after: int | None = None) -> None:
    run.resume(counter=counter)
    for step in run.steps(total):
        counter.value += 1.0
        run.log(step, {"loss/total": counter.value})
        run.save_if_due(step)
        if step + 1 == stop_after:
            return


def test_generators_differ_by_seed_purpose_and_step_and_by_nothing_else(tmp_path: Path) -> None:
    def drawn(seed: int, purpose: str, step: int) -> float:
        return float(torch.rand(1, generator=tiny.run_in(tmp_path, seed=seed).generator(purpose, step)))

    assert drawn(1, "rollout", 2) == drawn(1, "rollout", 2)
    assert len({drawn(1, "rollout", 2), drawn(2, "rollout", 2), drawn(1, "order", 2), drawn(1, "rollout", 3)}) == 4


def test_run_goes_on_at_the_last_checkpoint_and_writes_later_rows_again(tmp_path: Path) -> None:
    count(tiny.run_in(tmp_path, checkpoint_every=2), Counter(), total=5, stop_after=3)
    assert [row.value for row in read_metrics(tmp_path / "metrics.jsonl").series("loss/total")] == [1.0, 2.0, 3.0]
    counter = Counter()
    run = tiny.run_in(tmp_path, checkpoint_every=2)
    assert run.resume(counter=counter) == 2 and counter.value == 2.0
    assert [row.value for row in read_metrics(tmp_path / "metrics.jsonl").series("loss/total")] == [1.0, 2.0]
    count(tiny.run_in(tmp_path, checkpoint_every=2), Counter(), total=5)
    assert [row.value for row in read_metrics(tmp_path / "metrics.jsonl").series("loss/total")] == [1, 2, 3, 4, 5]


def test_rows_of_a_run_without_checkpoint_are_written_anew(tmp_path: Path) -> None:
    count(tiny.run_in(tmp_path, checkpoint_every=10), Counter(), total=3)
    count(tiny.run_in(tmp_path, checkpoint_every=10), Counter(), total=3)
    assert len(read_metrics(tmp_path / "metrics.jsonl").series("loss/total")) == 3


def test_each_step_is_timed_in_a_file_of_its_own(tmp_path: Path) -> None:
    count(tiny.run_in(tmp_path), Counter(), total=3)
    times = read_metrics(tmp_path / "timings.jsonl").series("time/step_seconds")
    assert [row.step for row in times] == [0, 1, 2] and all(row.value >= 0.0 for row in times)
    assert "time/" not in (tmp_path / "metrics.jsonl").read_text()


def test_checkpoint_of_another_config_is_refused(tmp_path: Path) -> None:
    count(tiny.run_in(tmp_path, key="a" * 64), Counter(), total=3, stop_after=1)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: saved by a run with another config.*aaaa.*expected bb"):
        tiny.run_in(tmp_path, key="b" * 64).resume(counter=Counter())


def test_checkpoint_of_other_parts_is_refused(tmp_path: Path) -> None:
    count(tiny.run_in(tmp_path), Counter(), total=3, stop_after=1)
    with pytest.raises(CheckpointError, match=r"holds counter; expected counter, value"):
        tiny.run_in(tmp_path).resume(counter=Counter(), value=Counter())


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_damaged_checkpoint_is_refused_by_name(damage: bytes | None, tmp_path: Path) -> None:
    count(tiny.run_in(tmp_path), Counter(), total=3, stop_after=1)
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:200] if damage is None else damage)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: cannot be read .* start this stage anew"):
        tiny.run_in(tmp_path).resume(counter=Counter())


def test_state_of_other_trained_tensors_is_refused(tmp_path: Path) -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    layers[0].requires_grad_(False)
    run = tiny.run_in(tmp_path)
    run.resume(layers=layers)
    run.save_if_due(0)
    layers.requires_grad_(True)
    with pytest.raises(CheckpointError, match="holds 2 tensors of the layers, of which 4 are trained now"):
        tiny.run_in(tmp_path).resume(layers=layers)


def test_random_numbers_of_a_step_are_the_same_after_a_resume(tmp_path: Path) -> None:
    def draw(folder: Path, starts: list[int]) -> dict[int, float]:
        drawn = {}
        for stop_after in starts:
            counter, run = Counter(), tiny.run_in(folder)
            run.resume(counter=counter)
            for step in run.steps(4):
                drawn[step] = float(torch.rand(1))  # the global generator: what dropout draws from
                run.save_if_due(step)
                if step + 1 == stop_after:
                    break
        return drawn

    assert draw(tmp_path / "whole", [4]) == draw(tmp_path / "cut", [1, 3, 4])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB; the tiny model and its optimizer's state take about 500."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def room_left(disk: Path) -> int:
    state = os.statvfs(disk)
    return state.f_bavail * state.f_frsize


def test_full_disk_while_a_checkpoint_is_saved_leaves_the_one_before_and_the_run_goes_on(small_disk: Path) -> None:
    folder = small_disk / "stage"
    counter = Counter()
    count(tiny.run_in(folder), counter, total=4, stop_after=2)
    before = (folder / "checkpoint.pt").read_bytes()
    for spare in (0, 700):  # full before the first byte of the file, and in the middle of it
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * max(0, room_left(small_disk) - 8192))
        extra = small_disk / "more"
        try:
            with extra.open("wb", buffering=0) as stream:
                while stream.write(b"x" * 512):
                    pass
        except OSError:
            pass
        os.truncate(extra, max(0, extra.stat().st_size - spare))
        with pytest.raises(StorageError, match=r"(checkpoint\.pt|metrics\.jsonl): the disk is full"):
            count(tiny.run_in(folder), Counter(), total=4)
        assert (folder / "checkpoint.pt").read_bytes() == before
        assert {file.name for file in folder.iterdir()} == {"checkpoint.pt", "metrics.jsonl", "timings.jsonl"}
        ballast.unlink()
        extra.unlink()
    counter = Counter()
    count(tiny.run_in(folder), counter, total=4)
    assert counter.value == 4.0
    assert [row.value for row in read_metrics(folder / "metrics.jsonl").series("loss/total")] == [1, 2, 3, 4]


def test_full_disk_in_the_middle_of_a_real_checkpoint(small_disk: Path) -> None:
    config = tiny.sft_config(steps=1)
    with pytest.raises(StorageError, match=r"checkpoint\.pt: the disk is full"):
        train_sft(config, tiny.policy_of(tiny.fresh_model()), tiny.conversations(8), tiny.run_in(small_disk / "stage"))
    assert {file.name for file in (small_disk / "stage").iterdir()} == {"metrics.jsonl", "timings.jsonl"}
    assert room_left(small_disk) > 250_000  # what was half written is gone


def test_full_disk_while_a_model_is_saved_leaves_nothing_half_written(small_disk: Path) -> None:
    model = tiny.fresh_model()
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    for room in (1000, size // 2, size + 5000):  # while config, weights, tokenizer are written
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * (room_left(small_disk) - 4096 * math.ceil(room / 4096)))
        with pytest.raises(StorageError, match=r"model.*: the disk is full"):
            save_model(small_disk / "model", model, tiny.TOKENIZER, "# card")
        assert [file.name for file in small_disk.iterdir()] == ["ballast"]
        ballast.unlink()
    save_model(small_disk / "model", model, tiny.TOKENIZER, "# card")
    assert (small_disk / "model" / "model.safetensors").exists()
