"""A pipeline in the actors of a Ray cluster, as it is, with each of them killed, and in more of them."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from boresight.pipeline.run import run_pipeline

from . import pipelines

pytest.importorskip("ray", reason="Ray is not installed: pip install 'boresight[dist]'")

import ray

from boresight.errors import ClusterError, PlanError
from boresight.launch.ray.answers import answers
from boresight.launch.ray.layout import Layout
from boresight.launch.ray.run import RayRun
from boresight.launch.ray.session import connected
from boresight.launch.ray.worker import RoleWorker

pytestmark = pytest.mark.slow
DEADLINE = 240.0  # seconds; on an idle core all of it takes forty
KILLED_AT = {"rollout": ("ppo", 1), "scorer": ("ppo", 2), "reference": ("rloo", 1), "trainer": ("rloo", 2)}
"""Role -> stage, and how many of its steps are logged when the role's process is killed."""


class Killer:
    """Hears which process plays which role, and kills each when a stage has come so far."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._processes: dict[str, int] = {}
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.killed: list[str] = []

    def hear(self, line: str) -> None:
        _, role, rest = line.split(": ")
        self._processes[role] = int(rest.split()[1])
        if len(self._processes) == len(KILLED_AT):
            self._thread.start()

    def end(self) -> None:
        self._thread.join(DEADLINE)

    def _work(self) -> None:
        for role, (stage, steps) in KILLED_AT.items():
            kill_once_logged(self._run, stage, steps, self._processes[role])
            self.killed.append(role)


def kill_once_logged(run: Path, stage: str, steps: int, process: int) -> None:
    """Kill a process when a stage has logged so many steps."""
    tick, ends = threading.Event(), time.monotonic() + DEADLINE
    while steps_logged(run, stage) < steps and time.monotonic() < ends:
        tick.wait(0.01)
    os.kill(process, signal.SIGKILL)


def steps_logged(run: Path, stage: str) -> int:
    files = [file for file in run.glob("stages/**/metrics.jsonl") if stage in file.parent.name]
    return max((file.read_text().count('"loss/policy"') for file in files), default=0)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One for all tests, of which nothing is left; its threads and kernels are put back."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", f"/tmp/bs-ray-{os.getpid()}")  # sockets lie there, whose names must be short
        with connected(None, cpus=2):
            assert ray_processes(), "Ray runs, and is not seen"
            yield
    shutil.rmtree(f"/tmp/bs-ray-{os.getpid()}", ignore_errors=True)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    ends, tick = time.monotonic() + 20, threading.Event()
    while (left := ray_processes()) and time.monotonic() < ends:
        tick.wait(0.1)
    assert not left, f"processes of Ray that outlived it: {sorted(left)}"


def ray_processes() -> set[int]:
    """Living processes that have inherited the folder of this module's cluster: Ray's own, and actors."""
    mark = f"RAY_TMPDIR=/tmp/bs-ray-{os.getpid()}\0".encode()
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            inherited, status = (folder / "environ").read_bytes(), (folder / "stat").read_text()
        except OSError:
            continue  # it has ended meanwhile, or is another's
        if mark in inherited and ") Z" not in status:
            found.add(int(folder.name))
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data/`, and `run/` by a single process."""
    folder = tmp_path_factory.mktemp("ray")
    run_pipeline(pipelines.load(folder / "data"), folder / "run", say=lambda line: None)
    return folder


def before_stages(alone: Path, name: str) -> Path:
    """A run folder with everything built but `ppo` and `rloo`."""
    copy = alone / name
    shutil.copytree(alone / "run", copy)
    for stage in ("ppo", "rloo"):
        shutil.rmtree(copy / "stages" / stage)
    return copy


def test_each_role_killed_in_turn_costs_no_step_and_no_bit(alone: Path, cluster: None) -> None:
    run = before_stages(alone, "killed")
    killer = Killer(run)
    outcome = RayRun(layout=Layout(cpus=0.25))(pipelines.load(alone / "data"), run, say=killer.hear)
    killer.end()
    assert killer.killed == list(KILLED_AT)
    assert set(outcome.built) >= {"rloo"}
    for stage in ("ppo", "rloo"):
        assert pipelines.logged(run, stage) == pipelines.logged(alone / "run", stage)
        assert pipelines.weights(run, stage) == pipelines.weights(alone / "run", stage)


def test_more_actors_draw_the_same_responses(alone: Path, cluster: None) -> None:
    run = before_stages(alone, "many")
    RayRun(layout=Layout(rollouts=2, cpus=0.25))(pipelines.load(alone / "data"), run, only="ppo", say=lambda line: None)
    found, expected = pipelines.logged(run, "ppo"), pipelines.logged(alone / "run", "ppo")
    assert set(found) == set(expected)
    assert found["rollout/length_tokens"] == expected["rollout/length_tokens"]
    for name, series in expected.items():
        assert [v for _, v in found[name]] == pytest.approx([v for _, v in series], rel=1e-3, abs=1e-5), name


def test_a_group_of_trainers_learns_what_one_does_though_one_of_them_is_killed(alone: Path, cluster: None) -> None:
    run = before_stages(alone, "group")
    processes, killed = [], []

    def kill() -> None:
        kill_once_logged(run, "ppo", 2, processes[1])  # the second trainer
        killed.append(processes[1])

    killer = threading.Thread(target=kill, daemon=True)

    def hear(line: str) -> None:
        processes.append(int(line.split(": ")[2].split()[1]))
        if "ray: reference" in line:  # the last
            killer.start()

    RayRun(layout=Layout(trainers=2, cpus=0.25))(pipelines.load(alone / "data"), run, only="ppo", say=hear)
    killer.join(DEADLINE)
    assert killed
    found, expected = pipelines.logged(run, "ppo"), pipelines.logged(alone / "run", "ppo")
    assert set(found) == set(expected)
    assert found["rollout/length_tokens"] == expected["rollout/length_tokens"]
    for name, series in expected.items():
        assert [v for _, v in found[name]] == pytest.approx([v for _, v in series], rel=1e-3, abs=1e-5), name


def test_a_run_that_does_not_fit_is_refused_before_anything_is_written(alone: Path, cluster: None) -> None:
    with pytest.raises(PlanError, match=r"5 actors .* need 5 CPUs, and it has 2: short by 3"):
        RayRun(layout=Layout(rollouts=2))(pipelines.load(alone / "data"), alone / "refused")
    assert not (alone / "refused").exists()


def test_an_actor_that_dies_at_its_start_is_told_with_its_last_words(cluster: None) -> None:
    impossible = -1  # threads: torch refuses them in the actor
    actor = ray.remote(RoleWorker).options(num_cpus=0.25).remote("float32", impossible)
    with pytest.raises(ClusterError, match=r"(?s)an actor of the run died.*positive"):
        answers([actor.where.remote()], timeout=DEADLINE)
