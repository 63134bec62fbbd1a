"""`boresight run` for real, on a pipeline of seconds: results, resume, and every way in which it must refuse."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import COMMAND, ENVIRONMENT, WORDS, Call, TinyRun, write_lines, write_pipeline

DEADLINE_SECONDS = 120
HEEDING_INTERRUPTS = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Becomes the command given. Started in the background of a script, the tests themselves ignore the signal, and their
children inherit that."""


def files_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def half_written(folder: Path) -> list[str]:
    return [name for name in files_under(folder) if ".tmp" in name]


def test_a_run_builds_every_stage_and_prints_the_report_last(tiny_run: TinyRun) -> None:
    assert tiny_run.ended.code == 0, tiny_run.ended.err
    lines = tiny_run.ended.out.splitlines()
    assert lines[-1] == "runs/tiny/report.html"
    assert (tiny_run.folder / "report.html").is_file()
    for stage, kind in (("base", "pretrain"), ("demo", "sft"), ("compare", "evaluate"), ("gate", "gate")):
        assert any(line.split()[:3] == [stage, kind, "built"] for line in lines)
    assert any("demo wins" in line and "n = 4" in line for line in lines)


def test_progress_goes_to_stderr_and_says_that_a_check_came_first(tiny_run: TinyRun) -> None:
    told = tiny_run.ended.told
    assert told[0].startswith("checking ")
    assert any("[1/4] base (pretrain): building" in line for line in told)
    assert not any("Warning" in line for line in told)


def test_the_same_command_again_builds_nothing_and_json_is_one_object(
    tiny_run: TinyRun, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_run.pipeline.parent)
    again = call("run", tiny_run.pipeline, "--json")
    assert again.code == 0, again.err
    found = json.loads(again.out)
    assert found["built"] == [] and found["reused"] == ["base", "demo", "compare", "gate"]
    assert found["passed"] is True and found["gates"] == {"gate": True}
    assert found["report"] == "runs/tiny/report.html"
    assert found["results"]["compare"]["candidates"]["demo"]["n"] == 4


def test_a_gate_that_does_not_hold_gives_exit_code_1_and_still_a_report(
    tiny_run: TinyRun, tmp_path: Path, call: Call
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run.folder, copy)
    (copy / "report.html").unlink()
    ended = call("run", tiny_run.pipeline, "--out", copy, "--set", "stages.gate.measures={right: {max: 0.0}}")
    assert ended.code == 1, ended.err
    assert "DOES NOT HOLD" in ended.out and "right is" in ended.out
    assert ended.out.splitlines()[-1] == str(copy / "report.html") and (copy / "report.html").is_file()


def test_report_is_written_again_by_its_own_verb(tiny_run: TinyRun, tmp_path: Path, call: Call) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run.folder, copy)
    (copy / "report.html").unlink()
    ended = call("report", copy, "--json")
    assert ended.code == 0 and json.loads(ended.out) == {"report": str(copy / "report.html")}
    assert "tiny" in (copy / "report.html").read_text(encoding="utf-8")


def test_report_of_a_folder_that_is_no_run_is_refused(tmp_path: Path, call: Call) -> None:
    ended = call("report", tmp_path)
    assert ended.code == 2
    assert ended.told[0].startswith("data error: ") and "run.json" in ended.told[0]


CSV = "prompt,good_answer,bad_answer\n" + "".join(f"{a},{b},{b} no\n" for a, b in WORDS)
PAIRS = {"stages.pairs": {"kind": "preferences", "sources": ["pairs.csv"]}}

REFUSALS: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "unknown key": ({"stages.demo.warp": 9}, CSV, ["config error:", "stages.demo.warp", "unknown key"]),
    "misspelt key": (
        {"stages.demo.learning_rte": 0.1},
        CSV,
        ["config error:", "stages.demo.learning_rte", 'did you mean "learning_rate"'],
    ),
    "missing file": (
        {"stages.demo.data": "demos.jsonl"},
        CSV,
        ["config error:", "demos.jsonl", "neither a stage nor a file"],
    ),
    "csv without the named columns": (
        PAIRS | {"stages.pairs": {**PAIRS["stages.pairs"], "columns": {"chosen": "better"}}},
        CSV,
        ["data error:", "pairs.csv", "'better'", "prompt, good_answer, bad_answer"],
    ),
    "identical answers": (PAIRS, CSV + "x,same,same\n", ["data error:", "pairs.csv:6", "on_identical"]),
    "empty answer": (PAIRS, CSV + "x,,no\n", ["data error:", "pairs.csv:6", "on_empty"]),
    "prompt longer than the context": (
        {"stages.compare.max_new_tokens": 95},
        CSV,
        ["data error:", "stage compare", "tokens", "max_new_tokens = 95", "96"],
    ),
    "conversation longer than the limit": (
        {"stages.demo.max_length": 9},
        CSV,
        ["data error:", "stage demo", "tokens, the limit is 9", "on_too_long: drop"],
    ),
    "policy that was never fine-tuned": (
        PAIRS | {"stages.align": {"kind": "dpo", "policy": "base", "reference": "base", "data": "pairs"}},
        CSV,
        ["config error:", "stage align", "never fine-tuned"],
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_wrong_is_told_before_anything_is_written(tmp_path: Path, call: Call, name: str) -> None:
    changes, table, parts = REFUSALS[name]
    pipeline = write_pipeline(tmp_path / "in", changes)
    (tmp_path / "in/pairs.csv").write_text(table)
    ended = call("run", pipeline, "--out", tmp_path / "out")
    assert ended.code == 2
    line = next(line for line in ended.told if parts[0] in line)
    assert all(part in line for part in parts), line
    assert not (tmp_path / "out").exists()
    assert ended.out == ""


def test_every_problem_of_a_file_has_a_line(tmp_path: Path, call: Call) -> None:
    pipeline = write_pipeline(tmp_path, {"stages.demo.warp": 9, "stages.base.steps": "many"})
    told = call("run", pipeline, "--out", tmp_path / "out").told
    assert len(told) == 2 and all(line.startswith(f"config error: {pipeline}:") for line in told)


def test_a_file_as_folder_of_the_run_is_refused(tmp_path: Path, call: Call) -> None:
    ended = call("run", write_pipeline(tmp_path), "--out", tmp_path / "docs.txt")
    assert ended.code == 2 and "is a file" in ended.told[-1]


def test_a_pipeline_file_that_somebody_wrote_is_not_written_over(tmp_path: Path, call: Call) -> None:
    pipeline = write_pipeline(tmp_path)
    before = pipeline.read_bytes()
    ended = call("run", pipeline, "--no-check", "--out", tmp_path)
    assert ended.code == 2 and "a pipeline.yaml that no run wrote" in ended.told[-1] and "runs/NAME" in ended.told[-1]
    assert pipeline.read_bytes() == before and not (tmp_path / "stages").exists()


def test_a_stage_that_does_not_exist_is_refused(tmp_path: Path, call: Call) -> None:
    ended = call("run", write_pipeline(tmp_path), "--only", "nothing", "--no-check", "--out", tmp_path / "out")
    assert ended.code == 2 and "--only nothing" in ended.told[-1] and "demo" in ended.told[-1]


@pytest.mark.slow
def test_an_interrupted_run_goes_on_with_the_same_settings_only(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = write_pipeline(tmp_path, {"stages.base.steps": 100_000, "stages.base.checkpoint_every": 1})
    checkpoint = tmp_path / "runs/tiny/stages/base.partial/checkpoint.pt"
    process = subprocess.Popen(
        [sys.executable, "-c", HEEDING_INTERRUPTS, str(COMMAND), "run", str(pipeline)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)  # nothing tells us of a new file but looking
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 130, told
    assert "The same command goes on" in told.splitlines()[-1] and "Traceback" not in told
    before = checkpoint.read_bytes()

    monkeypatch.chdir(tmp_path)
    other = call("run", pipeline, "--set", "stages.base.learning_rate=0.5")
    assert other.code == 2
    assert other.told[-1].startswith("checkpoint error: ") and "learning_rate: 0.004 -> 0.5" in other.told[-1]
    assert checkpoint.read_bytes() == before
    assert half_written(tmp_path / "runs") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB of its own: the real thing, which takes root's rights to make."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small disk can be mounted by root only")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("checkpoint_every", [1, 1000])
def test_a_full_disk_leaves_nothing_half_written_and_the_same_command_goes_on(
    small_disk: Path, tmp_path: Path, call: Call, checkpoint_every: int
) -> None:
    """With a checkpoint at every step torch.save meets the full disk, otherwise the writer of the model does."""
    changes = {"stages.base.hidden_size": 192, "stages.base.steps": 2, "stages.base.layers": 3}
    pipeline = write_pipeline(tmp_path / "in", changes | {"stages.base.checkpoint_every": checkpoint_every})
    arguments = ("run", pipeline, "--out", small_disk / "run", "--set", "stages.demo.steps=1", "--no-check")
    full = call(*arguments)
    assert full.code == 2, full.err
    assert full.told[-1].startswith("storage error: ") and "disk is full" in full.told[-1]
    assert half_written(small_disk) == []
    assert not (small_disk / "run/stages/base").exists()

    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    again = call(*arguments, "--only", "base")
    assert again.code == 0, again.err
    assert (small_disk / "run/stages/base/model/model.safetensors").is_file()


def test_demo_runs_the_embedded_example_in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the way in is looked at here: the example itself has its own tests, and takes minutes."""
    taken: dict[str, Any] = {}

    class Stop(Exception):
        pass

    def take(pipeline: Any, out: Path, **options: Any) -> None:
        taken.update(name=pipeline.name, out=out, steps=pipeline.stages["base"].steps)
        raise Stop

    monkeypatch.setattr("boresight.api.running.run_pipeline", take)
    monkeypatch.setattr("boresight.api.running._check_first", lambda *_: None)
    from boresight.cli.demo import command

    with pytest.raises(Stop):
        command(quick=True)
    assert taken["out"] == Path("runs") / f"{taken['name']}-quick"


def test_init_refuses_a_folder_that_holds_something(tmp_path: Path, call: Call) -> None:
    write_lines(tmp_path / "mine.jsonl", [{"a": 1}])
    before = files_under(tmp_path)
    ended = call("init", tmp_path)
    assert ended.code == 2 and "holds files already" in ended.told[-1]
    assert files_under(tmp_path) == before


def test_two_runs_are_put_on_one_page(tiny_run: TinyRun, tmp_path: Path, call: Call) -> None:
    ended = call("report", tiny_run.folder, tiny_run.folder, "--out", tmp_path / "both.html")
    assert ended.code == 0 and ended.out.strip() == str(tmp_path / "both.html")
    assert "Both runs" in (tmp_path / "both.html").read_text(encoding="utf-8")
    assert call("report", tiny_run.folder, "--out", tmp_path / "one.html").code == 2
