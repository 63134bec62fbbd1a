"""The frame around the verbs: instant help, exit codes, and what becomes of faults."""

import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from boresight.cli import main as cli
from tests.cli.conftest import COMMAND, Call

LIMIT_SECONDS = 0.4
TRIES = 5


def answers_at_once(*arguments: str, clock: str = "cpu") -> bool:
    """Whether the command ends within the limit, once in some tries: others may have the machine meanwhile."""
    for _ in range(TRIES):
        started = time.perf_counter()
        process = subprocess.Popen([str(COMMAND), *arguments], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        took = {"wall": time.perf_counter() - started, "cpu": used.ru_utime + used.ru_stime}
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        if took[clock] < LIMIT_SECONDS:
            return True
    return False


def test_help_answers_at_once() -> None:
    assert answers_at_once("--help", clock="wall")


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_of_a_verb_answers_at_once(verb: str) -> None:
    """Its CPU time is its wall-clock time on a machine that has nothing else to do."""
    assert answers_at_once(verb, "--help")


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in cli.VERBS)])
def test_help_loads_neither_torch_nor_a_verb_that_was_not_asked_for(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from boresight.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    loaded = {'torch', 'transformers', 'numpy'} & set(sys.modules)\n"
        "    verbs = [name for name in sys.modules if name.startswith('boresight.cli.')]\n"
        "    print(sorted(loaded), sorted(verbs), file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    own = [f"boresight.cli.{arguments[0].replace('-', '_')}"] if arguments[0] in cli.VERBS else []
    own += ["boresight.cli.completing"] if arguments[0] in ("check", "run") else []
    own += ["boresight.cli.run_options"] if arguments[0] == "run" else []
    assert ended.stderr.strip() == f"[] {sorted(['boresight.cli.faults', 'boresight.cli.main', *own])}"


def test_the_list_of_verbs_has_a_line_for_each(call: Call) -> None:
    ended = call("--help")
    assert ended.code == 0
    for verb, line in cli.VERBS.items():
        assert f"{verb} " in ended.out and line in ended.out


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_of_a_verb_teaches_with_an_example(call: Call, verb: str) -> None:
    ended = call(verb, "--help")
    assert ended.code == 0
    assert "Example:" in ended.out and f"    boresight {verb}" in ended.out
    assert cli.VERBS[verb] in " ".join(ended.out.split())


def test_version_is_that_of_the_package(call: Call) -> None:
    assert call("--version").out == f"boresight {version('boresight')}\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["rum"], "'run'"),
        (["run", "--nope", "x.yaml"], "--nope"),
        (["run"], "PIPELINE"),
        (["chat", "m", "--temperature", "-1"], "--temperature"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_what_is_wrong(call: Call, arguments: list[str], part: str) -> None:
    ended = call(*arguments)
    assert ended.code == 2
    assert any(part in line for line in ended.told)


def test_without_a_verb_the_help_is_shown(call: Call) -> None:
    ended = call()
    assert ended.code == 2
    assert "chat" in ended.out + ended.err


def test_a_reader_that_leaves_early_is_no_fault(tmp_path: Path) -> None:
    command = f"{COMMAND} --help | head -n 1"
    ended = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout.startswith("Usage:") and "Traceback" not in ended.stderr and "Exception" not in ended.stderr


def test_a_mistake_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    def broken(path: Path) -> Path:
        raise AssertionError(f"never mind {path}")

    monkeypatch.setattr("boresight.api.reporting.write_report", broken)
    with pytest.raises(AssertionError, match="never mind somewhere"):
        call("report", "somewhere")


def test_init_then_check(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = call("init", "start")
    assert made.code == 0, made.err
    assert "boresight run start/pipeline.yaml" in made.out
    checked = call("check", "start/pipeline.yaml")
    assert checked.code == 0, checked.err + checked.out
    assert "ready to run: 0 errors" in checked.out
