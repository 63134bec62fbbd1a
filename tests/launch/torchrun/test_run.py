"""A pipeline by several processes, as people start it, beside the same pipeline in one process; and how it may end."""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boresight.errors import ClusterError
from boresight.launch.torchrun import rendezvous
from boresight.launch.torchrun.layout import Layout
from boresight.launch.torchrun.reports import EndedError
from boresight.launch.torchrun.run import TorchrunRun
from boresight.models.loading import load_causal_lm
from boresight.runlog.reader import read_metrics
from boresight.storage import read_json
from tests.pipeline import tiny_pipeline as tiny

DEADLINE = 400.0  # seconds; on an idle core it takes forty
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
HOOKS = Path(__file__).with_name("hooks")
VERB = ("-m", "boresight", "launch", "torchrun")
PLAIN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "boresight", "run")
OVERRIDES = (
    "stages.dpo.lora.rank=2",
    "stages.orpo.activation_checkpointing=true",
    "stages.ppo.lora.rank=2",
    "stages.rloo.staleness=1",
    "stages.gate.min_win_rate=1.0",
)


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, *map(str, arguments)]
    return subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=DEADLINE)


Runs = dict[int, tuple[Path, subprocess.CompletedProcess[str]]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The run of one process and that of two, with how it ended: at a gate that does not hold."""
    folder = tmp_path_factory.mktemp("runs")
    tiny.load(folder)  # writes data and pipeline
    settings = [word for override in OVERRIDES for word in ("--set", override)]
    made = {}
    for count, verb in ((1, ("-m", "boresight", "run")), (2, (*VERB, "--processes", "2"))):
        out = folder / f"run of {count}"
        made[count] = out, command(*verb, folder / "pipeline.yaml", *settings, "--out", out, "--no-check")
    return made


@pytest.mark.slow
def test_two_processes_make_the_same_artifacts_and_it_is_told_once(runs: Runs) -> None:
    for _, ended in runs.values():
        assert ended.returncode == 1 and "Traceback" not in ended.stderr, ended.stderr[-3000:]
    (one, alone), (two, together) = runs[1], runs[2]
    assert set(tiny.artifacts(one / "stages")) == set(tiny.artifacts(two / "stages"))
    assert together.stdout.count("report.html") == alone.stdout.count("report.html") == 1
    assert together.stderr.count("demo (sft): building") == 1
    assert "while the others wait: base (pretrain)" in together.stderr
    assert "start again" not in together.stderr


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["demo", "scorer", "ppo", "rloo", "dpo", "orpo", "simpo", "kto"])
def test_stages_that_were_shared_log_what_one_process_does(stage: str, runs: Runs) -> None:
    one, two = (read_metrics(folder / "stages" / stage / "metrics.jsonl") for folder, _ in runs.values())
    assert one.names == two.names
    # Stages rest on each other, so that rounding may grow a little from one to the next.
    for name in one.names:
        found = [row.value for row in two.series(name, "train")]
        assert found == pytest.approx([row.value for row in one.series(name, "train")], rel=1e-3, abs=1e-5), name


@pytest.mark.slow
def test_models_are_saved_in_one_piece_with_their_adapters(runs: Runs) -> None:
    stages = runs[2][0] / "stages"
    for stage in ("demo", "ppo", "rloo", "dpo", "orpo", "simpo", "kto"):
        assert sum(p.numel() for p in load_causal_lm(stages / stage / "model").parameters()) > 0
    assert (stages / "dpo/adapter/adapter_model.safetensors").is_file()
    results = [read_json(folder / "stages/scorer/result.json")["certificate"] for folder, _ in runs.values()]
    assert results[0].keys() == results[1].keys()
    for name in results[0]:
        assert results[1][name]["accuracy"] == pytest.approx(results[0][name]["accuracy"])


@pytest.mark.slow
def test_fault_of_a_stage_ends_all_processes_is_told_once_and_not_tried_again(runs: Runs) -> None:
    ended = command(
        *VERB, runs[1][0].parent / "pipeline.yaml", "--processes", "2", "--set", "stages.demo.max_length=3",
        "--only", "demo", "--out", runs[2][0], "--no-check",
    )  # fmt: skip
    assert ended.returncode == 2
    assert [line for line in ended.stderr.splitlines() if not line.startswith("[1/1] demo")] == [
        next(line for line in ended.stderr.splitlines() if line.startswith("data error: "))
    ]


@pytest.mark.slow
def test_dead_processes_start_again_and_those_of_a_dead_launcher_end(runs: Runs, tmp_path: Path, pipe: "Pipe") -> None:
    """Process 1 dies in step 2; when all have started again and gone on to step 5, the launcher dies. What is left goes
    on under plain torchrun, and ends with the bits of the run that nothing happened to."""
    out = tmp_path / "run"
    shutil.copytree(runs[1][0] / "stages/base", out / "stages/base")
    demo = (runs[1][0].parent / "pipeline.yaml", "--out", out, "--no-check", "--only", "demo")
    environment = ENVIRONMENT | pipe.environment("1:0=die@demo:2 0:1=halt@demo:5")
    words = [sys.executable, *VERB, "--processes", "2", *map(str, demo)]
    launched = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
    halted = pipe.process()
    workers = children(launched.pid)
    assert halted in workers and len(workers) == 2
    held = [os.pidfd_open(worker) for worker in workers]
    launched.kill()
    for descriptor in held:
        assert select.select([descriptor], [], [], DEADLINE)[0], "a process outlived its launcher"
        os.close(descriptor)
    said = launched.communicate(timeout=DEADLINE)[1]
    assert "process 1 of 2" in said and "was killed by SIGKILL; all processes start again" in said
    assert [folder.name for folder in (out / "stages/demo.partial/checkpoint").iterdir()] == ["5"]

    ended = command(*PLAIN, *demo)
    assert ended.returncode == 0 and "demo (sft): resuming" in ended.stderr, ended.stderr[-3000:]
    found, undisturbed = (tiny.artifacts(run / "stages/demo") for run in (out, runs[2][0]))
    for artifacts in (found, undisturbed):
        del artifacts["MODEL_CARD.md"]  # tells of the stages that came after
    assert found == undisturbed


@pytest.mark.parametrize("ended", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_launcher_ends_every_process(ended: signal.Signals, tmp_path: Path, pipe: "Pipe") -> None:
    workers: list[int] = []

    def send_once_both_run() -> None:
        workers.extend(pipe.process() for _ in range(2))
        signal.pthread_kill(threading.main_thread().ident or 0, ended)

    before = signal.getsignal(ended)
    sender = threading.Thread(target=send_once_both_run)
    sender.start()
    with pipe.hooked("0:0=halt 1:0=halt"), pytest.raises((EndedError, KeyboardInterrupt)) as raised:
        launch(tmp_path, Layout(processes=2), [])
    sender.join(DEADLINE)
    assert len(workers) == 2 and not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert signal.getsignal(ended) is before
    if ended is signal.SIGTERM:
        assert isinstance(raised.value, EndedError) and raised.value.exit_code == 143


def test_a_process_that_dies_at_its_start_is_told_and_not_tried_again(tmp_path: Path, pipe: "Pipe") -> None:
    said: list[str] = []
    with pipe.hooked("0:0=halt 1:0=exit"), pytest.raises(EndedError) as raised:
        launch(tmp_path, Layout(processes=2), said)
    message = str(raised.value)
    assert message.startswith("process 1 of 2") and "left with exit code 3" in message and raised.value.exit_code == 1
    assert "before the processes had found each other" in message
    assert not any("start again" in line for line in said)
    assert not Path(f"/proc/{pipe.process()}").exists()


def test_a_port_that_another_program_holds_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "ANSWERED_WITHIN", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ClusterError, match="another program listens there"):
            launch(tmp_path, Layout(nodes=(2, 2), rendezvous=place, join_within=1), [])
    for thread in threading.enumerate():
        if thread.name == rendezvous.ASKING:
            thread.join(DEADLINE)


def test_a_place_that_is_not_there_is_told_at_once_and_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(EndedError, match="cannot be reached") as raised:
        launch(tmp_path, Layout(nodes=(2, 2), rendezvous="nowhere.invalid:29500", join_within=1), said)
    assert said[-1].startswith("rendezvous at nowhere.invalid:29500: that name is not known here")
    assert raised.value.exit_code == 75


def test_machines_that_do_not_come_are_told_of(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    said: list[str] = []
    with pytest.raises(EndedError, match="fewer than 2 machines came within 1 seconds") as raised:
        launch(tmp_path, Layout(nodes=(2, 2), rendezvous=place, join_within=1), said)
    assert raised.value.exit_code == 75
    assert any("waiting for machines" in line for line in said)


@pytest.mark.slow
def test_what_ends_the_run_on_one_machine_ends_it_on_all(tmp_path: Path, pipe: "Pipe") -> None:
    """Two launchers stand for two machines; the process of one dies at its start, that of the other would wait."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    tiny.load(tmp_path / "data")
    words = [*VERB, str(tmp_path / "data/pipeline.yaml"), "--nodes", "2", "--rendezvous", place, "--processes", "1"]
    environment = ENVIRONMENT | pipe.environment("0:0=halt 1:0=exit")
    other = subprocess.Popen(
        [sys.executable, *words, "--only", "base", "--no-check", "--out", str(tmp_path / "run")],
        env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with pipe.hooked("0:0=halt 1:0=exit"), pytest.raises(EndedError) as raised:
        launch(tmp_path, Layout(nodes=(2, 2), rendezvous=place), [])
    said = other.communicate(timeout=DEADLINE)[1]
    assert str(raised.value).startswith("process 1 of 2") and f"ended: {raised.value}" in said
    assert raised.value.exit_code == other.returncode == 1
    assert not Path(f"/proc/{pipe.process()}").exists()


def launch(folder: Path, layout: Layout, said: list[str]) -> None:
    TorchrunRun(layout=layout)(tiny.load(folder / "data"), folder / "run", only="base", say=said.append)


class Pipe:
    """By which halted processes tell their numbers; see hooks/sitecustomize.py."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self._reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._kept_open = os.open(path, os.O_WRONLY)
        self._told: list[int] = []

    def environment(self, halting: str) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(HOOKS), os.environ.get("PYTHONPATH")]))
        return {"HALTING": halting, "HALTING_TELLS": str(self._path), "PYTHONPATH": path}

    @contextmanager
    def hooked(self, halting: str) -> Iterator[None]:
        """Processes that are started within have the hooks."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment(halting).items():
                patch.setenv(name, value)
            yield

    def process(self) -> int:
        """The next one that has halted."""
        if not self._told:
            assert select.select([self._reading], [], [], DEADLINE)[0], "no process came to the place where it halts"
            self._told += map(int, os.read(self._reading, 1000).split())
        return self._told.pop(0)

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._kept_open)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    pipe = Pipe(tmp_path / "halted")
    yield pipe
    pipe.close()


def children(process: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
