"""A pipeline under torchrun, as people start it, beside the same pipeline in one process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from boresight.models.loading import load_causal_lm
from boresight.runlog.reader import read_metrics
from boresight.storage import read_json
from tests.pipeline import tiny_pipeline as tiny

DEADLINE = 400.0  # seconds; on an idle core it takes forty
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
OVERRIDES = (
    "stages.dpo.lora.rank=2",
    "stages.orpo.activation_checkpointing=true",
    "stages.ppo.lora.rank=2",
)


def words(*arguments: str, processes: int) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    return [sys.executable, *launcher, "-m", "boresight", *arguments]


def command(*arguments: str, processes: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words(*arguments, processes=processes), env=ENVIRONMENT, capture_output=True, text=True, timeout=DEADLINE
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, subprocess.CompletedProcess[str]]]:
    """The run of one process and that of two, with how it ended."""
    folder = tmp_path_factory.mktemp("runs")
    tiny.load(folder)  # writes data and pipeline
    settings = [word for override in OVERRIDES for word in ("--set", override)]
    made = {}
    for count in (1, 2):
        out = folder / f"run of {count}"
        ended = command(
            "run", str(folder / "pipeline.yaml"), *settings, "--out", str(out), "--no-check", processes=count
        )
        made[count] = out, ended
    return made


Runs = dict[int, tuple[Path, subprocess.CompletedProcess[str]]]


@pytest.mark.slow
def test_two_processes_make_the_same_artifacts_and_one_of_them_speaks(runs: Runs) -> None:
    for _, ended in runs.values():
        assert ended.returncode == 0, ended.stderr[-3000:]
    (one, alone), (two, together) = runs[1], runs[2]
    assert set(tiny.artifacts(one / "stages")) == set(tiny.artifacts(two / "stages"))
    assert together.stdout.count("report.html") == alone.stdout.count("report.html") == 1
    assert together.stderr.count("demo (sft): building") == 1


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["demo", "scorer", "ppo", "rloo", "dpo", "orpo"])
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
    for stage in ("demo", "ppo", "rloo", "dpo", "orpo"):
        assert sum(p.numel() for p in load_causal_lm(stages / stage / "model").parameters()) > 0
    assert (stages / "dpo/adapter/adapter_model.safetensors").is_file()
    results = [read_json(folder / "stages/scorer/result.json")["certificate"] for folder, _ in runs.values()]
    assert results[0].keys() == results[1].keys()
    for name in results[0]:
        assert results[1][name]["accuracy"] == pytest.approx(results[0][name]["accuracy"])


@pytest.mark.slow
def test_fault_of_a_stage_ends_all_processes_and_is_told(runs: Runs) -> None:
    folder = runs[1][0].parent
    ended = command(
        "run", str(folder / "pipeline.yaml"), "--set", "stages.demo.max_length=3", "--only", "demo",
        "--out", str(runs[2][0]), "--no-check", processes=2,
    )  # fmt: skip
    assert ended.returncode != 0
    assert "data error: " in ended.stderr


@pytest.mark.slow
def test_run_killed_under_torchrun_goes_on_in_one_process(runs: Runs, tmp_path: Path) -> None:
    """All processes die by SIGKILL in the middle of a shared stage; the folder they leave is taken up by one."""
    settings = ("--set", "stages.demo.steps=200", "--out", str(tmp_path / "run"), "--no-check", "--only")
    base, demo = (("run", str(runs[1][0].parent / "pipeline.yaml"), *settings, name) for name in ("base", "demo"))
    assert command(*base, processes=1).returncode == 0
    launched = subprocess.Popen(words(*demo, processes=2), env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    partial = tmp_path / "run/stages/demo.partial"
    deadline = time.monotonic() + DEADLINE
    while not list(partial.glob("checkpoint/[0-9]*")):
        assert launched.poll() is None, f"the run ended by itself, exit code {launched.returncode}"
        assert time.monotonic() < deadline
        time.sleep(0.01)  # between two looks at the folder
    for process in children(launched.pid):  # torchrun makes each the leader of its own group
        os.kill(process, signal.SIGKILL)
    launched.wait(DEADLINE)
    ended = command(*demo, processes=1)
    assert ended.returncode == 0 and "demo (sft): resuming" in ended.stderr, ended.stderr[-3000:]
    finished = partial.with_name("demo")
    losses = read_metrics(finished / "metrics.jsonl").series("loss/total", "train")
    assert [row.step for row in losses] == list(range(200))
    assert not (finished / "checkpoint").exists() and not (finished / "checkpoint.pt").exists()


def children(process: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
