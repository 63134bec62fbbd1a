"""Lines of a console block, run as a shell would but in this process: `boresight …` through its own entry point.

Of a shell there is what pages need: comments, continued lines, quotes, globs, `NAME=value` before a command, and
`echo … |` before it. A command that serves is given a free port and ended once it has answered; `--open` opens
nothing. What came of a command that only looks is known once and for all: until what it is given changes.
"""

import glob
import io
import re
import shlex
import subprocess
import sys
import tomllib
import webbrowser
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn

from boresight.cli import main as cli
from boresight.cli.label_serve import store_beside
from tests.cli.test_judge_batch import sound, work_off
from tests.docs.endpoints import DATABASE, SERVING, Endpoints, ask_annotation_app, ends_once_it_answers
from tests.docs.stand_ins import LAUNCHED, ROLES, break_stage, launched_folder, measure_small
from tests.docs.world import annotate

LOOKING = ("check", "diagnose", "eval", "report")
"""Verbs that tell the same of the same files, and leave nothing that another command reads unless told to write."""

REPORT = "report.html"
"""What `report` leaves is read by people alone."""

WRITING = {"--out", "--report", "--write-prompts", "--verify"}

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


Done = tuple[int, str]
"""Exit code and what was said."""


class Shell:
    """Runs commands in one folder; exit codes as people see them. `known` is what came of commands on other pages."""

    def __init__(
        self,
        folder: Path,
        endpoints: Endpoints,
        known: dict[Hashable, Done],
        monkeypatch: pytest.MonkeyPatch,
        capsys: Any,
    ) -> None:
        self.folder, self.endpoints, self.known = folder, endpoints, known
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.names: dict[str, Any] = {"__name__": "__main__"}
        """What the Python blocks of the page have defined so far."""
        self._database: str | None = None

    def run(self, command: Command) -> Done:
        """Raises ValueError for a program that is not known here."""
        program: Callable[[Command], Done] | None = {
            "boresight": self._boresight,
            "make": _make,
            "pip": _pip,
            "python": self._python,
            "curl": lambda command: ask_annotation_app(command.words, self.folder),
            ".": lambda command: (0, ""),  # `. .venv/bin/activate`: here the command is found already
        }.get(command.program)
        if program is None:
            raise ValueError(f"no way to run {command.program!r} here: mark the block, or teach tests/docs/commands.py")
        return program(command)

    def _boresight(self, command: Command) -> Done:
        words = [self._there(word, command.words) for word in command.words[1:]]
        words = [path for word in words for path in (sorted(glob.glob(word)) if "*" in word else [word])]
        if DATABASE in command.words and self.endpoints.postgres is None:
            words.append("--help")
        if "--help" in words:
            return self._in_process(command, words)
        if (given := decided_by(words)) is not None:
            if given not in self.known:
                self.known[given] = self._launch(command, words) if words[0] == "launch" else self._work(command, words)
            return self.known[given]
        return self._work(command, words)

    def _work(self, command: Command, words: list[str]) -> Done:
        self._prepare(words)
        if any(tuple(words[: len(verb)]) == verb for verb in SERVING):
            words = [*words, "--port", "0"]
        done = self._in_process(command, words)
        if done[0] == 0:
            self._others_do_theirs(words)
        return done

    def _launch(self, command: Command, words: list[str]) -> Done:
        """In a folder of its own, where a pipeline of seconds stands in the place of the page's."""
        with self.monkeypatch.context() as patch:
            patch.chdir(launched_folder(self.folder / f"launched-{len(self.known)}", self.folder, LAUNCHED))
            return self._in_process(command, words)

    def _there(self, word: str, words: tuple[str, ...]) -> str:
        """The word with addresses that answer. A page has one database; what restores one does so on another server."""
        if word != DATABASE or self.endpoints.postgres is None:
            return self.endpoints.there(word)
        if "restore" in words:
            return self.endpoints.database(None)
        self._database = self._database or self.endpoints.database(self.folder / "tasks.jsonl")
        return self._database

    def _prepare(self, words: list[str]) -> None:
        """What pages expect to be so, or not to be there yet."""
        if words[:3] == ["judge", "batch", "write"]:
            for kept in (*Path().glob("*.replies.sqlite*"), *Path().glob("requests*.jsonl")):
                kept.unlink()  # else what the page labelled before is known, and there is nothing to request
        elif "--verify" in words:
            break_stage(Path(words[1]))
        elif words[:2] == ["run", "pipeline.yaml"]:
            Path(words[1]).write_text(ROLES)

    def _in_process(self, command: Command, words: list[str]) -> Done:
        with self.monkeypatch.context() as patch:
            for name, value in (cli.QUIET | command.environment).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["boresight", *words])
            patch.setattr(sys, "stdin", io.StringIO(command.stdin or TYPED))
            patch.setattr(webbrowser, "open", lambda link: True)
            patch.setattr(uvicorn.Server, "main_loop", ends_once_it_answers(words))
            measure_small(patch)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        said = self.capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    def _others_do_theirs(self, words: list[str]) -> None:
        """What pages expect of others between two commands; of the example's own data a few rows do."""
        if words[:3] == ["judge", "batch", "write"]:
            work_off(self.endpoints.judge, Path("requests.jsonl"), Path("results.jsonl"), sound)
            Path("errors.jsonl").touch()
        elif words[:2] == ["label", "serve"] and "--store" not in words:
            annotate(store_beside(Path(words[2])))
        elif words[0] == "init" and len(words) == 2:
            for file in (self.folder / words[1] / "data").iterdir():
                file.write_text("".join(file.read_text().splitlines(keepends=True)[:200]))

    def _python(self, command: Command) -> Done:
        done = subprocess.run(
            [sys.executable, *command.words[1:]], cwd=self.folder, capture_output=True, text=True, check=False
        )
        return done.returncode and 2, done.stdout + done.stderr


def decided_by(words: list[str]) -> Hashable | None:
    """All that decides what comes of a command that only looks, or is launched; None where another page may differ."""
    if words[:2] == ["launch", "torchrun"]:
        return tuple(words)  # its folder is always the same
    if words[0] not in LOOKING or WRITING & set(words):
        return None
    named = [path for word in words if (path := Path(word)).exists()]
    trees = [path.parent if path.suffix == ".yaml" else path for path in named]  # a pipeline names what lies beside it
    if Path() in trees:
        return None
    files = [file for tree in trees for file in ([tree] if tree.is_file() else sorted(tree.rglob("*")))]
    return (*words, *((str(file), file.read_bytes()) for file in files if file.is_file() and file.name != REPORT))


def _make(command: Command) -> Done:
    """Whether the targets are there and their recipes can be read; nothing is built."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["make", "--dry-run", *command.words[1:]], cwd=root, capture_output=True, text=True, check=False
    )
    return done.returncode and 2, done.stdout[-2000:] + done.stderr


def _pip(command: Command) -> Done:
    """Whether the extras that it names are ours; nothing is fetched."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {name for word in command.words for part in re.findall(r"\[(.*?)\]", word) for name in part.split(",")}
    unknown = named - project["optional-dependencies"].keys()
    return 2 * bool(unknown), f"no such extra: {sorted(unknown)}" if unknown else ""


def reads(command: Command, shell: Callable[[Command], Done]) -> Done:
    """The arguments are read and nothing runs: an option that is not known is refused even before `--help` answers."""
    return shell(command._replace(words=(*command.words, "--help")))
