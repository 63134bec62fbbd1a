"""The benchmark's measured run, on a model of no use: its figures are there, its losses those of training."""

import importlib
import json
import math
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.models.loading import save_model
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from boresight.training import ppo

BENCH = Path(__file__).resolve().parents[1] / "bench"
FIGURES = {"examples_per_s", "tokens_per_s", "wall_s", "cpu_s", "peak_rss_mb", "first_loss", "last_loss"}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    tokenizer = tiny_tokenizer()
    save_model(folder / "model", tiny_llama(tokenizer), tokenizer, "random weights")
    rows = [{"prompt": f"Say {n}.", "chosen": f"{n}, as you ask.", "rejected": "No."} for n in range(8)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


Measure = Callable[..., dict[str, Any]]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Measure]:
    """The one line of a script: of a process of its own, or run here without the seconds that loading torch takes."""
    settings = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()

    def measure(script: str, *words: str | Path, alone: bool) -> dict[str, Any]:
        command = [str(BENCH / script), *map(str, words)]
        if alone:
            told = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True).stdout
        else:
            monkeypatch.syspath_prepend(str(BENCH))
            monkeypatch.setattr(sys, "argv", command)
            floor = importlib.import_module("floor")
            monkeypatch.setattr(floor, "SHAPES", floor.SHAPES[:1])  # the others only make the figure exact
            monkeypatch.setattr(ppo, "update", ppo.update)  # which the script replaces by a timed one
            runpy.run_path(command[0], run_name="__main__")
            told = capsys.readouterr().out
        (line,) = told.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found

    yield measure
    torch.set_num_threads(settings[0])
    torch.use_deterministic_algorithms(settings[1])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "reward_model", "orpo", "dpo"])
def test_a_measured_run_ends_with_one_json_line(work: Path, measured: Measure, method: str) -> None:
    words = ["--method", method, "--model-dir", work / "model", "--json"]
    words += ["--data", work / "pairs.jsonl", "--examples", "8", "--batch-size", "4"]
    figures = measured("train.py", *words, alone=method == "sft")
    assert set(figures) >= FIGURES and figures["examples"] == 8
    assert figures["wall_s"] > 0 and figures["peak_rss_mb"] > 0
    if method == "dpo":
        assert figures["first_loss"] == pytest.approx(math.log(2), abs=1e-4)


def test_the_report_of_many_prompts_is_timed_and_small() -> None:
    done = subprocess.run([sys.executable, BENCH / "report.py", "--prompts", "60"], capture_output=True, text=True)
    figures = json.loads(done.stdout)
    assert done.returncode == 0 and figures["prompts"] == 60
    assert 0 < figures["write_s"] < 20 and 10_000 < figures["page_bytes"] < 4_000_000
    if "load_s" in figures:  # Chromium is there
        assert 0 < figures["load_s"] <= figures["painted_s"]


def test_rollouts_are_measured_beside_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a few tokens: that both sides write the lengths drawn for them, and what is told of it."""
    monkeypatch.syspath_prepend(str(BENCH))
    rollout = importlib.import_module("rollout")
    monkeypatch.setattr(rollout, "WORK", {"tiny": (5, 2)})
    monkeypatch.setattr(rollout, "PROMPT", (6, 4, 9))
    monkeypatch.setattr(rollout, "RESPONSE", (4, 2, 7))
    found = rollout.compare("tiny", "float32", 2)
    speed = found["tokens_per_s"]
    assert found["prompts"] == 5 and 10 <= found["new_tokens"] <= 35
    assert speed["ours"] > 0 and speed["peer"] > 0 and speed["ratio"][1] <= speed["ratio"][0] <= speed["ratio"][2]


@pytest.mark.slow
@pytest.mark.parametrize("roles", ["separate", "shared", "one_trunk"])
def test_a_measured_ppo_run_tells_seconds_and_shares_of_its_phases(work: Path, measured: Measure, roles: str) -> None:
    words = ["--make-model", "tiny", "--tokenizer", work / "model", "--json"]
    words += ["--data", work / "pairs.jsonl", "--examples", "4", "--batch-size", "2", "--roles", roles]
    words += ["--response-length", "3", "--ppo-epochs", "1"]
    figures = measured("ppo.py", *words, alone=roles == "separate")
    assert set(figures) >= {"examples_per_s", "wall_s", "cpu_s", "peak_rss_mb"} and figures["roles"] == roles
    phases = ("generation", "scoring", "update")
    assert sum(figures[f"{phase}_share"] for phase in phases) == pytest.approx(1.0)
    assert sum(figures[f"{phase}_cpu_s"] for phase in phases) == pytest.approx(figures["cpu_s"])
    assert all(figures[f"{phase}_cpu_s"] > 0 for phase in phases) and len(figures["policy_losses"]) == 2


@pytest.mark.slow
def test_judge_endpoint_loses_nothing_and_asks_nothing_twice_over_a_kill() -> None:
    command = [sys.executable, BENCH / "judge_endpoint.py", "--comparisons", "300", "--rate", "150"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["all_ended"] and found["kept_and_asked_again"] == 0
    assert found["killed_with"] >= 200 and found["answered_twice"] <= found["on_the_way_at_the_kill"] <= 32
    assert set(found["ended"]["failed_by_reason"]) == {"unreadable"}
