"""Runs that are killed with SIGKILL, started again, and end bit-equal to one that never was."""

import gc
import multiprocessing
import os
import random
import runpy
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from boresight.config.pipeline import Pipeline
from boresight.errors import StorageError
from boresight.pipeline.run import run_pipeline

from . import tiny_pipeline as tiny

DEADLINE = 120.0  # seconds; a run takes two on an idle core
KILLED_AT = Path(__file__).with_name("killed_at.py")
MOMENTS = ("half written", "before the rename", "after the rename")


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes of their own, each forked from one that has imported everything and done nothing yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["boresight.pipeline.run"])
    return context


def assert_equal_artifacts(run: Path, whole: Path) -> None:
    found, expected = tiny.artifacts(run), tiny.artifacts(whole)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


def lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def chunks(folder: Path) -> int:
    return len(list((folder / "chunks").glob("*.jsonl")))


def kill_when(process: BaseProcess, happened: Callable[[], bool]) -> None:
    """SIGKILL as soon as something has happened; it must happen before the deadline, and before the run ends."""
    deadline = time.monotonic() + DEADLINE
    while not happened():
        process.join(0.002)  # returns at once where the process ends
        assert process.is_alive(), f"the run ended by itself, exit code {process.exitcode}"
        assert time.monotonic() < deadline, f"nothing happened in {DEADLINE:g} s"
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def finish(process: BaseProcess) -> None:
    process.join(DEADLINE)
    assert process.exitcode == 0


@pytest.mark.slow
def test_run_killed_in_the_middle_of_its_stages_ends_bit_equal(
    built: Path, tmp_path: Path, processes: ForkServerContext
) -> None:
    pipeline, out = tiny.load(built / "data"), tmp_path / "run"
    in_the_middle = 0
    for stage, seen, count in (
        ("base", "metrics", 3),
        ("demo", "metrics", 5),
        ("drafts", "chunks", 1),
        ("scorer", "metrics", 4),
        ("ppo", "metrics", 1),
        ("ppo", "metrics", 3),
        ("dpo", "metrics", 2),
        ("rloo", "metrics", 2),
        ("compare", "chunks", 3),
    ):
        partial = out / "stages" / f"{stage}.partial"

        def happened(partial: Path = partial, seen: str = seen, count: int = count, stage: str = stage) -> bool:
            progress = lines(partial / "metrics.jsonl") if seen == "metrics" else chunks(partial)
            return progress >= count or (out / "stages" / stage).exists()

        process = processes.Process(target=run_pipeline, args=(pipeline, out))
        process.start()
        kill_when(process, happened)
        in_the_middle += partial.exists()
    assert in_the_middle >= 6  # on a busy machine a stage may have come to its end before the kill
    process = processes.Process(target=run_pipeline, args=(pipeline, out))
    process.start()
    finish(process)
    assert_equal_artifacts(out, built / "run")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_run_killed_while_it_writes_ends_bit_equal(
    seed: int, built: Path, tmp_path: Path, processes: ForkServerContext
) -> None:
    """Kills at moments that no clock would hit: a file half written, complete but not renamed, just renamed."""
    pipeline, out = tiny.load(built / "data"), tmp_path / "run"
    print(f"seed {seed}")
    generator, kills = random.Random(seed), 0
    while not (out / "stages" / "gate").exists():
        given = {"moment": generator.choice(MOMENTS), "count": generator.randint(2, 30)}
        process = processes.Process(
            target=runpy.run_path,
            args=(str(KILLED_AT), {"pipeline": pipeline, "out": out, **given}),
            kwargs={"run_name": "__main__"},
        )
        process.start()
        process.join(DEADLINE)
        assert process.exitcode in (0, -signal.SIGKILL), given
        kills += process.exitcode != 0
    assert kills >= 5
    run_pipeline(pipeline, out, say=lambda line: None)
    assert_equal_artifacts(out, built / "run")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB, a fraction of what a run needs."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        gc.collect()  # models in reference cycles keep their files mapped
        subprocess.run(["umount", str(disk)], check=True)


def enlarge(disk: Path, kib: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kib}k", str(disk)], check=True)


@pytest.mark.slow
def test_run_on_a_disk_that_fills_up_goes_on_where_there_is_room_again(built: Path, small_disk: Path) -> None:
    pipeline, out = tiny.load(built / "data"), small_disk / "run"
    refused = 0
    for kib in range(400, 10_000, 60):
        enlarge(small_disk, kib)
        try:
            run_pipeline(pipeline, out, say=lambda line: None)
        except StorageError as error:
            assert "the disk is full" in str(error)
            refused += 1
        else:
            break
    assert refused >= 3
    assert_equal_artifacts(out, built / "run")


def test_half_finished_stage_says_that_it_resumes(built: Path, tmp_path: Path, processes: ForkServerContext) -> None:
    pipeline: Pipeline = tiny.load(built / "data")
    out = tmp_path / "run"
    process = processes.Process(target=run_pipeline, args=(pipeline, out))
    process.start()
    kill_when(process, lambda: lines(out / "stages/base.partial/metrics.jsonl") >= 2)
    said: list[str] = []
    run_pipeline(pipeline, out, only="base", say=said.append)
    assert said[0] == "[1/1] base (pretrain): resuming" and said[1].startswith("[1/1] base (pretrain): done in")
