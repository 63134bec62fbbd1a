"""A pipeline in the actors of a Ray cluster, as it is, with each of them killed, and in more of them."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from boresight.models.roles import build_reward_model
from boresight.pipeline.run import run_pipeline
from tests.web.reward_service.served import asked

from . import pipelines

pytest.importorskip("ray", reason="Ray is not installed: pip install 'boresight[dist]'")

import ray

from boresight.errors import ClusterError, PlanError, TrainingError
from boresight.launch.ray.answers import answers
from boresight.launch.ray.layout import Layout, Scaling
from boresight.launch.ray.run import RayRun
from boresight.launch.ray.scoring_service import scoring_service
from boresight.launch.ray.session import connected
from boresight.launch.ray.worker import RoleWorker, Source

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field:DeprecationWarning"),  # nothing else is as quick
]
DEADLINE = 240.0  # seconds; on an idle core all of it takes forty
KILLED_AT = {"rollout": ("ppo", 1), "scorer": ("ppo", 2), "reference": ("rloo", 1), "trainer": ("rloo", 2)}
"""Role -> stage, and how many of its steps are logged when the role's process is killed."""
KILLED_IN_PPO = {"rollout": ("ppo", 1), "scorer": ("ppo", 1), "trainer": ("ppo", 2), "reference": ("ppo", 3)}
QUICK = Scaling(questions=1.0, look_back=1.0, up_after=0.2, down_after=0.5, measured_every=0.2)


class Killer:
    """Hears which process plays which role, and kills each when a stage has come so far."""

    def __init__(self, run: Path, plan: Mapping[str, tuple[str, int]]) -> None:
        self._run = run
        self._plan = plan
        self._processes: dict[str, int] = {}
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.killed: list[str] = []

    def hear(self, line: str) -> None:
        _, role, rest = line.split(": ")
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
            self.killed.append(role)

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
    killer = Killer(run, KILLED_AT)
    outcome = RayRun(layout=Layout(cpus=0.25))(pipelines.load(alone / "data"), run, say=killer.hear)
    killer.end()
    assert killer.killed == list(KILLED_AT)
    assert set(outcome.built) >= {"rloo"}
    for stage in ("ppo", "rloo"):
        assert pipelines.logged(run, stage) == pipelines.logged(alone / "run", stage)
        assert pipelines.weights(run, stage) == pipelines.weights(alone / "run", stage)


def test_more_actors_and_scorers_as_needed_draw_the_same_responses_whoever_is_killed(
    alone: Path, cluster: None
) -> None:
    run = before_stages(alone, "many")
    killer = Killer(run, KILLED_IN_PPO)
    layout = Layout(rollouts=2, scorers=1, most_scorers=2, cpus=0.25)
    RayRun(layout=layout, scaling=QUICK)(pipelines.load(alone / "data"), run, only="ppo", say=killer.hear)
    killer.end()
    assert killer.killed == list(KILLED_IN_PPO)
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
    actor = ray.remote(RoleWorker).options(num_cpus=0.25).remote("float32", impossible)
    with pytest.raises(ClusterError, match=r"(?s)an actor of the run died.*positive"):
        answers([actor.where.remote()], timeout=DEADLINE)
