"""A pipeline in the actors of a Ray cluster with each of them killed, what more of them write, and what outlives it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from boresight.models.generate import Generation
from boresight.models.roles import build_policy, build_reward_model
from boresight.pipeline.run import run_pipeline
from tests.web.reward_service.served import asked

from . import pipelines

pytest.importorskip("ray", reason="Ray is not installed: pip install 'boresight[dist]'")

import ray

from boresight.errors import ClusterError, PlanError, TrainingError
from boresight.launch.ray.answers import Actor, locate
from boresight.launch.ray.layout import Layout, Scaling
from boresight.launch.ray.remote_roles import RaySampler
from boresight.launch.ray.run import RayRun
from boresight.launch.ray.scoring_service import scoring_service
from boresight.launch.ray.session import connected
from boresight.launch.ray.worker import RoleWorker, Source

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field:DeprecationWarning"),  # nothing else is as quick
]
DEADLINE = 480.0  # seconds; a busy machine takes minutes
KILLED_AT = {"rollout": ("ppo", 1), "scorer": ("ppo", 1), "reference": ("ppo", 1), "trainer": ("ppo", 3)}
"""Role -> stage, and how many of its steps are logged when the role's process is killed."""
KILLED_IN_PPO = {"rollout 1": ("ppo", 1), "scorer": ("ppo", 1), "trainer 2": ("ppo", 2), "reference": ("ppo", 3)}
QUICK = Scaling(questions=1.0, look_back=1.0, up_after=0.2, down_after=0.5, measured_every=0.2)


class Killer:
    """Hears which process plays which role, and kills each when a stage has come so far."""

    def __init__(self, run: Path, plan: Mapping[str, tuple[str, int]]) -> None:
        self._run = run
        self._plan = plan
        self._processes: dict[str, int] = {}
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.killed: dict[str, int] = {}
        self.heard: list[str] = []

    def hear(self, line: str) -> None:
        self.heard.append(line)
        _, role, rest = line.split(": ", 2)
        if role in self._plan and role not in self._processes:
            self._processes[role] = int(rest.split()[1])
            if len(self._processes) == len(self._plan):
                self._thread.start()

    def end(self) -> None:
        self._thread.join(DEADLINE)

    def _work(self) -> None:
        tick, ends = threading.Event(), time.monotonic() + DEADLINE
        for role, (stage, steps) in self._plan.items():
            while self._steps(stage) < steps and time.monotonic() < ends:
                tick.wait(0.01)
            os.kill(self._processes[role], signal.SIGKILL)
            self.killed[role] = self._processes[role]

    def _steps(self, stage: str) -> int:
        files = [file for file in self._run.glob("stages/**/metrics.jsonl") if stage in file.parent.name]
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
    assert not (left := none_left(1.0, set())), f"processes of Ray that outlived it: {sorted(left)}"


def ray_processes() -> set[int]:
    """Living processes that have inherited the folder of this module's clusters: Ray's own, and actors. Looked for by
    another mark than the guard's, which is proved here."""
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


def none_left(within: float, before: set[int]) -> set[int]:
    """Waits for the end of all but `before`; those that live on."""
    ends, tick = time.monotonic() + within, threading.Event()
    while (left := ray_processes() - before) and time.monotonic() < ends:
        tick.wait(0.1)
    return left


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data/`, and `run/` by a single process."""
    folder = tmp_path_factory.mktemp("ray")
    run_pipeline(pipelines.load(folder / "data", *pipelines.SPREAD), folder / "run", say=lambda line: None)
    return folder


def before_stages(alone: Path, name: str) -> Path:
    """A run folder with everything built but `ppo` and `rloo`."""
    copy = alone / name
    shutil.copytree(alone / "run", copy)
    for stage in ("ppo", "rloo"):
        shutil.rmtree(copy / "stages" / stage)
    return copy


def test_each_role_killed_is_told_and_costs_no_step_and_no_bit(
    alone: Path, cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    run = before_stages(alone, "killed")
    killer = Killer(run, KILLED_AT)
    pipeline = pipelines.load(alone / "data", *pipelines.SPREAD)
    outcome = RayRun(layout=Layout(cpus=0.25))(pipeline, run, say=killer.hear)
    killer.end()
    assert list(killer.killed) == list(KILLED_AT)
    assert set(outcome.built) >= {"rloo"}
    told = "\n".join([*killer.heard, capsys.readouterr().err])  # by the driver of the trainer, by that of the others
    for role, process in killer.killed.items():
        node = socket.gethostname()
        asked = rf"ray: {role}: process {process} on {node} died, or is out of reach, when asked "
        idle = (
            rf"ray: {role}: process {process} on {node} died while nothing was asked of it; process \d+ on {node} has"
        )
        assert re.search(f"{asked}|{idle}", told)
        if re.search(asked, told):
            assert re.search(rf"ray: {role}: process \d+ on {node} takes its place, and is asked again ", told)
    for stage in ("ppo", "rloo"):
        assert pipelines.logged(run, stage) == pipelines.logged(alone / "run", stage)
        assert pipelines.weights(run, stage) == pipelines.weights(alone / "run", stage)


def test_two_actors_write_what_one_process_does_with_the_weights_that_it_had(alone: Path, cluster: None) -> None:
    """Weights move while a rollout is under way; and a trainer that begins anew counts the versions as the last one."""
    folder = str(alone / "run" / "stages" / "demo" / "model")
    made = ray.remote(RoleWorker).options(num_cpus=0.25)
    actors = [Actor(f"rollout {number}", made.remote("float32", 1)) for number in (1, 2)]
    locate(actors, DEADLINE)
    policy, source = build_policy(folder, "tokenizer"), Source("stage", folder, "tokenizer")
    sampler = RaySampler(actors, source, policy)
    prompts = [[5 + row, 7, 9] for row in range(5)]
    options = {"temperatures": [1.0] * 5, "max_new_tokens": 4, "stop_token_ids": [0], "batch_size": 8}

    def begun(begin: Callable[..., Callable[[], list[Generation]]]) -> Callable[[], list[Generation]]:
        return begin(prompts, generator=torch.Generator().manual_seed(1), **options)

    def changed(version: int) -> None:
        policy.version = version
        for parameter in policy.parameters():
            parameter.data.mul_(-0.7)

    expected, under_way = [], []
    for version, sender in [(0, sampler), (1, sampler), (1, RaySampler(actors, source, policy))]:
        changed(version)
        expected.append(begun(policy.begin)())
        under_way.append(begun(sender.begin))
    for one, other in zip(expected, (wait() for wait in under_way), strict=True):
        assert [(g.token_ids, g.version) for g in one] == [(g.token_ids, g.version) for g in other]
    assert len({str([g.token_ids for g in one]) for one in expected}) == 3
    for actor in actors:
        ray.kill(actor.handle)


def test_more_actors_scorers_as_needed_and_trainers_that_share_learn_the_same_whoever_is_killed(
    alone: Path, cluster: None
) -> None:
    run = before_stages(alone, "many")
    killer = Killer(run, KILLED_IN_PPO)
    layout = Layout(trainers=2, rollouts=2, scorers=1, most_scorers=2, cpus=0.25)
    pipeline = pipelines.load(alone / "data", *pipelines.SPREAD)
    RayRun(layout=layout, scaling=QUICK)(pipeline, run, only="ppo", say=killer.hear)
    killer.end()
    assert list(killer.killed) == list(KILLED_IN_PPO)
    heard, process = "\n".join(killer.heard), killer.killed["trainer 2"]
    assert f"ray: trainer 2: process {process} on {socket.gethostname()} died, or is out of reach, while it" in heard
    assert re.findall(r"ray: (.*): process .* begins anew", heard) == ["trainer 1", "trainer 2"]
    found, expected = pipelines.logged(run, "ppo"), pipelines.logged(alone / "run", "ppo")
    assert set(found) == set(expected)
    assert found["rollout/length_tokens"] == expected["rollout/length_tokens"]
    for name, series in expected.items():
        assert [v for _, v in found[name]] == pytest.approx([v for _, v in series], rel=1e-3, abs=1e-5), name


def test_scorers_come_with_the_load_and_go_and_one_that_is_killed_under_it_loses_nothing(
    alone: Path, cluster: None
) -> None:
    folder = alone / "scorer"
    shutil.copytree(alone / "run" / "stages" / "scorer" / "model", folder)
    prompts, responses = asked(200)
    expected = build_reward_model(folder).score(prompts, responses)
    layout = Layout(scorers=1, most_scorers=2, cpus=0.25)
    with scoring_service(layout, "float32", 1, QUICK) as service:
        model = service.reward_model(Source("align", str(folder), None))
        assert service.replicas() == 1
        ends = time.monotonic() + DEADLINE
        while service.replicas() < 2 and time.monotonic() < ends:
            torch.testing.assert_close(model.score(prompts, responses), expected, atol=1e-5, rtol=0)
        assert service.replicas() == 2
        with ThreadPoolExecutor(1) as asking:
            under_way = asking.submit(model.score, prompts * 5, responses * 5)
            os.kill(service.where()[0], signal.SIGKILL)
            torch.testing.assert_close(under_way.result(DEADLINE), expected.repeat(5), atol=1e-5, rtol=0)
        assert reached(lambda: service.replicas() == 1), "no scorer went when nobody asked"
        change_weights(folder)
        os.kill(service.where()[0], signal.SIGKILL)
        with pytest.raises(TrainingError, match=r"rewards of two models cannot be mixed"):
            model.score(prompts, responses)


def reached(state: Callable[[], bool]) -> bool:
    ends, tick = time.monotonic() + DEADLINE, threading.Event()
    while not (there := state()) and time.monotonic() < ends:
        tick.wait(0.05)
    return there


def change_weights(folder: Path) -> None:
    """As somebody who trains the reward model anew while a run uses it."""
    weights = load_file(folder / "model.safetensors")
    save_file({name: value + 0.01 for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})


def test_a_run_that_does_not_fit_is_refused_before_anything_is_written(alone: Path, cluster: None) -> None:
    with pytest.raises(PlanError, match=r"5 actors .* need 5 CPUs, and it has 2: short by 3"):
        RayRun(layout=Layout(rollouts=2))(pipelines.load(alone / "data"), alone / "refused")
    assert not (alone / "refused").exists()


def test_an_actor_that_dies_at_its_start_is_told_with_its_last_words(cluster: None) -> None:
    impossible = -1  # threads: torch refuses them in the actor
    actor = Actor("rollout", ray.remote(RoleWorker).options(num_cpus=0.25).remote("float32", impossible))
    with pytest.raises(ClusterError, match=r"(?s)an actor of the run died.*positive"):
        locate([actor], DEADLINE)


DRIVER = """
import ray
from boresight.launch.ray.guard import guarded

with guarded():
    ray.init("local", num_cpus=1, include_dashboard=False, configure_logging=False, object_store_memory=2**27)
    actor = ray.remote(type("Idle", (), {"stay": lambda self: 0})).remote()
    print("lives", ray.get(actor.stay.remote()), flush=True)
    input()
"""
"""As `connected` does, without loading what trains."""


def test_nothing_outlives_a_driver_that_is_killed(cluster: None) -> None:
    """Without the guard two of Ray's agents live on for longer than half a minute."""
    before = ray_processes()
    with subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None and driver.stdout.readline() == b"lives 0\n"
        started = ray_processes() - before
        driver.kill()
    assert len(started) > 3
    assert not (left := none_left(10.0, before)), f"processes that outlived their driver: {sorted(left)}"
