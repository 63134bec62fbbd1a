"""`boresight diagnose`: its contract, exit codes, and what it costs to ask."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Call, TinyRun

KEYS = {"method", "framework", "steps", "verdict", "findings", "signals_missing"}


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.csv"
    path.write_text("step,loss,grad_norm,learning_rate\n1,2.0,1.0,1e-5\n2,nan,nan,1e-5\n3,nan,nan,1e-5\n")
    return path


@pytest.fixture
def calm(tmp_path: Path) -> Path:
    path = tmp_path / "calm.jsonl"
    path.write_text("".join(json.dumps({"step": n, "loss": 2 - n / 50, "grad_norm": 1.0, "learning_rate": 1e-5}) + "\n"
                            for n in range(50)))  # fmt: skip
    return path


def test_json_is_one_object_with_the_keys_of_the_contract(call: Call, broken: Path) -> None:
    ended = call("diagnose", broken, "--json")
    found = json.loads(ended.out)
    assert ended.code == 1 and found.keys() >= KEYS
    assert (found["method"], found["framework"], found["steps"], found["verdict"]) == (
        "sft",
        "transformers",
        3,
        "failing",
    )
    first = found["findings"][0]
    assert first.keys() == {"id", "severity", "cause", "evidence", "action", "reference"}
    assert (first["id"], first["severity"]) == ("nan_inf", "error")
    assert first["evidence"][0] == {"signal": "loss", "from": 2, "to": None, "step_from": 1, "step_to": 2}


def test_a_healthy_log_exits_with_nothing_and_says_so(call: Call, calm: Path) -> None:
    ended = call("diagnose", calm)
    assert ended.code == 0 and "HEALTHY" in ended.out and "sft, logged by transformers, 50 steps" in ended.out


def test_several_logs_give_the_gravest_and_all_of_them(call: Call, calm: Path, broken: Path) -> None:
    ended = call("diagnose", calm, broken, "--json")
    found = json.loads(ended.out)
    assert ended.code == 1 and found["verdict"] == "failing" and found["file"] == str(broken)
    assert [log["verdict"] for log in found["logs"]] == ["healthy", "failing"]


def test_bad_input_is_told_without_a_traceback(call: Call, tmp_path: Path) -> None:
    ended = call("diagnose", tmp_path / "nowhere.log")
    assert ended.code == 2 and "no such file" in ended.told[0] and ended.out == ""
    (tmp_path / "empty.jsonl").touch()
    ended = call("diagnose", tmp_path / "empty.jsonl", "--json")
    assert ended.code == 2 and "empty" in ended.told[0] and ended.out == ""


def test_a_run_of_ours_is_read_stage_by_stage(call: Call, tiny_run: TinyRun) -> None:
    found = json.loads(call("diagnose", tiny_run.folder, "--json").out)
    assert [Path(log["file"]).name for log in found["logs"]] == ["base", "demo"]
    assert {log["framework"] for log in found["logs"]} == {"boresight"}
    assert found["verdict"] != "failing"


def test_help_teaches_with_an_example(call: Call) -> None:
    ended = call("diagnose", "--help")
    assert ended.code == 0 and "boresight diagnose runs/kube-assistant" in ended.out


def test_diagnosing_imports_no_torch(calm: Path) -> None:
    program = (
        "import sys\nfrom boresight.cli import main\n"
        f"sys.argv = ['boresight', 'diagnose', {str(calm)!r}]\n"
        "try:\n    main.main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "heavy = {'torch', 'transformers', 'pandas', 'pyarrow', 'scipy'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_verify_refuses_what_it_cannot_try_and_its_options_want_it(call: Call, tiny_run: TinyRun, calm: Path) -> None:
    foreign = call("diagnose", calm, "--verify")
    assert foreign.code == 2 and "wants the folder of one" in foreign.err and "Traceback" not in foreign.err
    stage = call("diagnose", tiny_run.folder / "stages" / "demo", "--verify")
    assert stage.code == 2 and "a stage of the kind sft" in stage.err
    assert call("diagnose", calm, "--steps", "9").code == 2
