"""The command as people start it, in a process of its own or in this one, and a run small enough to be made here."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from boresight.cli import main as cli

COMMAND = Path(sys.executable).with_name("boresight")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def told(self) -> list[str]:
        """The lines on stderr, of which none is a traceback's."""
        assert "Traceback" not in self.err, self.err
        return self.err.splitlines()


def boresight(*arguments: str | Path, cwd: Path, stdin: str = "") -> Ended:
    """The installed command in a process of its own."""
    ended = subprocess.run(
        [str(COMMAND), *map(str, arguments)], cwd=cwd, input=stdin, capture_output=True, text=True, env=ENVIRONMENT
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


Call = Callable[..., Ended]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """The same entry point in this process, without the seconds that a new process takes to load torch."""
    settings = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()

    def run(*arguments: str | Path, stdin: str = "") -> Ended:
        for name in cli.QUIET:
            monkeypatch.setenv(name, cli.QUIET[name])
        monkeypatch.setattr(sys, "argv", ["boresight", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    yield run
    torch.set_num_threads(settings[0])
    torch.use_deterministic_algorithms(settings[1])


WORDS = [("ping", "pong"), ("red", "rose"), ("salt", "sea"), ("deep", "down")]

TINY: dict[str, Any] = {
    "run": {"name": "tiny", "seed": 3, "threads": 1},
    "stages": {
        "base": {
            "kind": "pretrain",
            "data": "docs.txt",
            "vocabulary_size": 300,
            "hidden_size": 32,
            "intermediate_size": 64,
            "layers": 2,
            "heads": 2,
            "context_length": 96,
            "sequence_length": 16,
            "batch_size": 8,
            "steps": 30,
        },
        "demo": {
            "kind": "sft",
            "start": "base",
            "data": "demonstrations.jsonl",
            "steps": 120,
            "batch_size": 4,
            "learning_rate": 1e-2,
        },
        "compare": {
            "kind": "evaluate",
            "candidates": ["demo"],
            "baseline": "base",
            "prompts": "prompts.jsonl",
            "judge": {"kind": "rules"},
            "max_new_tokens": 8,
        },
        "gate": {"kind": "gate", "of": "compare", "min_win_rate": 0.5, "min_lower_bound": 0.0},
    },
}


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_pipeline(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    """The tiny pipeline with its data. `changes` maps dotted keys to values; a value of None takes the key out."""
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads(json.dumps(TINY))
    for key, value in (changes or {}).items():
        *outer, last = key.split(".")
        section = config
        for part in outer:
            section = section[part]
        section[last] = value
        if value is None:
            del section[last]
    (folder / "docs.txt").write_text("\n\n".join(f"{a} goes with {b}, and {b} with {a}." for a, b in WORDS * 6))
    demonstrations, prompts = [], []
    for number, (question, answer) in enumerate(WORDS):
        asked = [{"role": "user", "content": question}]
        demonstrations.append({"id": f"d{number}", "messages": [*asked, {"role": "assistant", "content": answer}]})
        rules = [{"name": "right", "weight": 1.0, "contains": answer}]
        prompts.append({"id": f"p{number}", "messages": asked, "expect": {"rules": rules}})
    # Asked a second time in one conversation, the answer is another: it takes the history to know.
    again = [*demonstrations[0]["messages"], *asked_again()]
    demonstrations.append({"id": "again", "messages": again})
    write_lines(folder / "demonstrations.jsonl", demonstrations)
    write_lines(folder / "prompts.jsonl", prompts)
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def asked_again() -> list[dict[str, str]]:
    return [{"role": "user", "content": "ping"}, {"role": "assistant", "content": "enough"}]


@dataclass(frozen=True)
class TinyRun:
    pipeline: Path
    folder: Path
    ended: Ended


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyRun]:
    """`boresight run` of the tiny pipeline, once for all tests; they only read it."""
    home = tmp_path_factory.mktemp("tiny")
    pipeline = write_pipeline(home)
    ended = boresight("run", pipeline, cwd=home)
    yield TinyRun(pipeline, home / "runs/tiny", ended)
