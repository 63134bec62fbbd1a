"""The command on terminals of all sorts, in pipes, and in a shell that completes."""

import importlib
import io
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from boresight.cli import main as cli
from boresight.cli.data_show import takes_colour
from boresight.tables import table
from tests.cli.conftest import COMMAND, ENVIRONMENT, Call, TinyRun, write_lines, write_pipeline

ESCAPE = "\x1b["


def all_verbs() -> Iterator[tuple[str, ...]]:
    """Every verb and every verb of a group."""
    for name in cli.VERBS:
        module = importlib.import_module(f"boresight.cli.{name.replace('-', '_')}")
        yield (name,)
        yield from ((name, inner) for inner in getattr(module, "SUBVERBS", {}))


@pytest.mark.parametrize("verb", [*all_verbs()], ids=" ".join)
def test_help_of_every_verb_shows_an_example_of_that_verb(verb: tuple[str, ...], call: Call) -> None:
    shown = call(*verb, "--help")
    assert shown.code == 0
    examples = shown.out.partition("Example:\n")[2]
    assert re.search(rf"^ +(?:.*\| |\w+=\S+ )?boresight {' '.join(verb)}\b", examples, re.MULTILINE), shown.out


def completed(folder: Path, line: str) -> list[str]:
    """What bash is offered at the end of the line."""
    words = line.split(" ")
    asked = {"_BORESIGHT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    ended = subprocess.run([COMMAND], cwd=folder, env={**ENVIRONMENT, **asked}, capture_output=True, text=True)
    assert ended.stderr == ""
    return ended.stdout.split()


def test_a_shell_is_offered_verbs_options_pipelines_and_their_stages(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    (tmp_path / "runs").mkdir()
    assert completed(tmp_path, "boresight che") == ["check"]
    assert completed(tmp_path, "boresight eval w") == ["winrate"]
    assert completed(tmp_path, "boresight plan --finetune q") == ["qlora"]
    assert completed(tmp_path, "boresight run ") == ["pipeline.yaml", "runs/"]
    assert completed(tmp_path, "boresight check pipe") == ["pipeline.yaml"]
    assert completed(tmp_path, "boresight run pipeline.yaml --only ") == ["base", "demo", "compare", "gate"]
    assert completed(tmp_path, "boresight run pipeline.yaml --from d") == ["demo"]
    assert completed(tmp_path, "boresight run nowhere.yaml --from ") == []


def test_completion_is_installed_where_the_shell_reads_it(tmp_path: Path) -> None:
    home = {**ENVIRONMENT, "HOME": str(tmp_path)}
    script = f"{COMMAND} --install-completion; {COMMAND} --show-completion; true"
    ended = subprocess.run(["bash", "-c", script], env=home, capture_output=True, text=True, check=True)
    assert "bash completion installed" in ended.stdout and "complete -o default" in ended.stdout
    written = (tmp_path / ".bash_completions/boresight.sh").read_text()
    assert "_BORESIGHT_COMPLETE=complete_bash" in written
    assert str(tmp_path / ".bash_completions/boresight.sh") in (tmp_path / ".bashrc").read_text()


def on_a_terminal(*arguments: str | Path, cwd: Path, **environment: str) -> str:
    """What the command writes to a terminal of its own."""
    ours, its = pty.openpty()
    clean = {name: value for name, value in ENVIRONMENT.items() if name not in ("NO_COLOR", "COLUMNS")}
    with subprocess.Popen(
        [COMMAND, *map(str, arguments)], cwd=cwd, stdout=its, stderr=its, stdin=its, env={**clean, **environment}
    ) as process:
        os.close(its)
        told = b""
        while piece := _read(ours):
            told += piece
        process.wait()
    os.close(ours)
    return told.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


@pytest.fixture(scope="module")
def shown(tiny_run: TinyRun) -> tuple[str | Path, ...]:
    return (
        "data",
        "show",
        tiny_run.pipeline.parent / "demonstrations.jsonl",
        "--model",
        tiny_run.folder / "stages/demo/model",
    )


def test_colour_is_for_terminals_that_want_it(shown: tuple[str | Path, ...], tmp_path: Path, call: Call) -> None:
    assert ESCAPE in on_a_terminal(*shown, cwd=tmp_path, TERM="xterm")
    assert ESCAPE not in call(*shown).out
    assert ESCAPE in call(*shown, "--color", "always").out


def test_a_terminal_may_be_told_to_stay_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert takes_colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not takes_colour()
    monkeypatch.setenv("NO_COLOR", "")  # set to nothing it counts as not set
    assert takes_colour()
    monkeypatch.setenv("TERM", "dumb")
    assert not takes_colour()


@pytest.mark.parametrize(
    "arguments", [("plan", "--model", "SmolLM2-135M"), ("doctor-env", "--no-devices"), ("--help",)]
)
def test_nothing_steers_a_pipe(arguments: tuple[str, ...], tmp_path: Path, call: Call, tiny_run: TinyRun) -> None:
    ended = call(*arguments)
    assert ESCAPE not in ended.out + ended.err and "\r" not in ended.out + ended.err
    assert ESCAPE not in tiny_run.ended.out + tiny_run.ended.err and "\r" not in tiny_run.ended.err


@pytest.mark.parametrize("columns", [60, 90])
def test_lines_keep_within_a_narrow_terminal(
    columns: int, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"step": n, "loss": 2 - n / 50, "grad_norm": 1.0} for n in range(20)]
    write_lines(tmp_path / "log.jsonl", rows)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(columns))
    diagnosed, helped = call("diagnose", "log.jsonl").out, call("run", "--help").out
    helped = helped.partition("Example:")[0]  # a line to be copied stays one line
    for line in (diagnosed + helped).splitlines():
        assert len(line) <= columns or " " not in line.strip(), line


def test_the_last_column_of_a_table_goes_on_below_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["stage", "result"], ["demo", "one two three four five six seven"], ["gate", "holds"]]
    monkeypatch.setenv("COLUMNS", "34")
    assert table(rows).splitlines() == [
        "  stage  result",
        "  demo   one two three four five",
        "         six seven",
        "  gate   holds",
    ]
    monkeypatch.setenv("COLUMNS", "12")  # nothing readable would be left of it
    assert table(rows).splitlines()[1] == "  demo   one two three four five six seven"
    monkeypatch.delenv("COLUMNS")
    assert table(rows).splitlines()[1] == "  demo   one two three four five six seven"
