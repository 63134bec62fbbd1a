"""Lines of a console block, run as a shell would but in this process: `boresight …` through its own entry point.

Of a shell there is what pages need: comments, continued lines, quotes, globs, `NAME=value` before a command, and
`echo … |` before it. A command that serves is given a free port and ended once it would answer; `--open` opens nothing.
"""

import asyncio
import glob
import io
import re
import shlex
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn

from boresight.cli import main as cli
from boresight.cli.label_serve import store_beside
from tests.cli.test_judge_batch import sound, work_off
from tests.docs.world import annotate

SERVING = (("monitor",), ("label", "serve"), ("serve", "reward"))
"""Verbs that end when they are told to."""

ENDPOINTS = re.compile(r"https?://(?:127\.0\.0\.1:8000|api\.openai\.com)/v1\b")
"""Addresses by which the pages mean an endpoint of the reader's; here a judge on the loopback address answers."""


TYPED = "hello\n/quit\n"
"""What a person types where a command asks."""


class Command(NamedTuple):
    words: tuple[str, ...]
    environment: dict[str, str]
    stdin: str | None

    @property
    def program(self) -> str:
        return Path(self.words[0]).name or self.words[0]


def commands(text: str) -> list[Command]:
    """The commands of a block, in order. Raises ValueError for what is no such line."""
    return [_command(line) for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line.split("#")[0].strip()]


def _command(line: str) -> Command:
    lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    words = list(lexer)
    stdin = None
    if "|" in words:
        at = words.index("|")
        if words[0] != "echo":
            raise ValueError(f"only `echo … |` can be run here: {line}")
        stdin, words = " ".join(words[1:at]) + "\n", words[at + 1 :]
    environment = {}
    while words and (given := re.fullmatch(r"([A-Z_]+)=(.*)", words[0])):
        environment[given[1]] = given[2]
        words = words[1:]
    return Command(tuple(words), environment, stdin)


class Shell:
    """Runs commands in one folder; exit codes as people see them."""

    def __init__(self, folder: Path, judge: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        self.folder, self.judge, self.monkeypatch, self.capsys = folder, judge, monkeypatch, capsys
        self.names: dict[str, Any] = {"__name__": "__main__"}
        """What the Python blocks of the page have defined so far."""

    def run(self, command: Command) -> tuple[int, str]:
        """Exit code and what was said. Raises ValueError for a program that is not known here."""
        program: Callable[[Command], tuple[int, str]] | None = {
            "boresight": self._boresight,
            "make": _make,
            "pip": _pip,
            "python": self._python,
            ".": lambda command: (0, ""),  # `. .venv/bin/activate`: here the command is found already
        }.get(command.program)
        if program is None:
            raise ValueError(f"no way to run {command.program!r} here: mark the block, or teach tests/docs/commands.py")
        return program(command)

    def _boresight(self, command: Command) -> tuple[int, str]:
        if command.words[1:4] == ("judge", "batch", "write"):
            for kept in (*Path().glob("*.replies.sqlite*"), *Path().glob("requests*.jsonl")):
                kept.unlink()  # else what the page labelled before is known, and there is nothing to request
        words = [ENDPOINTS.sub(self.judge, word) for word in command.words[1:]]
        words = [path for word in words for path in (sorted(glob.glob(word)) if "*" in word else [word])]
        if any(tuple(words[: len(verb)]) == verb for verb in SERVING):
            words = [*words, "--port", "0"]
        with self.monkeypatch.context() as patch:
            for name, value in (cli.QUIET | command.environment).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["boresight", *words])
            patch.setattr(sys, "stdin", io.StringIO(command.stdin or TYPED))
            patch.setattr(webbrowser, "open", lambda link: True)
            patch.setattr(uvicorn.Server, "main_loop", _ends_once_it_answers)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        said = self.capsys.readouterr()
        if not ended.value.code and "--help" not in words:
            self._others_do_theirs(words)
        return int(ended.value.code or 0), said.out + said.err

    def _others_do_theirs(self, words: list[str]) -> None:
        """What pages expect of others between two commands; of the example's own data a few rows do."""
        if words[:3] == ["judge", "batch", "write"]:
            work_off(self.judge, Path("requests.jsonl"), Path("results.jsonl"), sound)
            Path("errors.jsonl").touch()
        elif words[:2] == ["label", "serve"]:
            annotate(store_beside(Path(words[2])))
        elif words[0] == "init" and len(words) == 2:
            for file in (self.folder / words[1] / "data").iterdir():
                file.write_text("".join(file.read_text().splitlines(keepends=True)[:200]))

    def _python(self, command: Command) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, *command.words[1:]], cwd=self.folder, capture_output=True, text=True, check=False
        )
        return done.returncode and 2, done.stdout + done.stderr


async def _ends_once_it_answers(server: uvicorn.Server) -> None:
    """In the place of uvicorn's waiting loop: until the app has answered a request, and is no longer loading (503)."""
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    deadline = time.monotonic() + 20
    while await asyncio.to_thread(_status, f"http://{host}:{port}/ready") == 503:
        if time.monotonic() > deadline:
            raise TimeoutError("the server was not ready in 20 seconds")
        await asyncio.sleep(0.01)


def _status(link: str) -> int:
    try:
        with urllib.request.urlopen(link, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code


def _make(command: Command) -> tuple[int, str]:
    """Whether the targets are there and their recipes can be read; nothing is built."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["make", "--dry-run", *command.words[1:]], cwd=root, capture_output=True, text=True, check=False
    )
    return done.returncode and 2, done.stdout[-2000:] + done.stderr


def _pip(command: Command) -> tuple[int, str]:
    """Whether the extras that it names are ours; nothing is fetched."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {name for word in command.words for part in re.findall(r"\[(.*?)\]", word) for name in part.split(",")}
    unknown = named - project["optional-dependencies"].keys()
    return 2 * bool(unknown), f"no such extra: {sorted(unknown)}" if unknown else ""


def reads(command: Command, shell: Callable[[Command], tuple[int, str]]) -> tuple[int, str]:
    """The arguments are read and nothing runs: an option that is not known is refused even before `--help` answers."""
    return shell(command._replace(words=(*command.words, "--help")))
