"""`boresight plan` as people call it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from boresight.planning.calibration import SHIPPED, load_calibration
from tests.cli.conftest import Call

EIGHT = ("--model", "Llama-3.1-8B", "--gpus", "2xA100-80GB")
CONTRACT = {"feasible", "method", "reasons", "memory_gib", "peak_gib", "hours", "cost", "alternatives"}


@pytest.fixture(autouse=True)
def shipped_speeds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def planned(call: Call, *arguments: str) -> dict[str, Any]:
    ended = call("plan", *arguments, "--json")
    assert ended.code in (0, 1), ended.err
    found: dict[str, Any] = json.loads(ended.out)
    assert ended.code == (0 if found["feasible"] else 1)
    return found


def test_the_answer_as_json_keeps_the_contract(call: Call) -> None:
    found = planned(call, *EIGHT, "--cost-per-gpu-hour", "2")
    assert set(found) >= CONTRACT
    assert found["method"] == "orpo" and found["feasible"] is True and found["reasons"]
    assert found["peak_gib"] == pytest.approx(sum(found["memory_gib"].values()), abs=0.02)
    assert found["cost"] == pytest.approx(4 * found["hours"], abs=0.02)
    assert {option["method"] for option in found["alternatives"]} == {"sft", "dpo", "ppo", "rloo"}
    phases = {phase["phase"] for stage in found["stages"] for phase in stage["phases"]}
    assert phases == {"loss", "backward", "update"}


def test_one_method_can_be_asked_for_and_a_refusal_says_what_would_help(call: Call) -> None:
    found = planned(call, *EIGHT, "--method", "ppo")
    assert found["method"] == "ppo" and found["feasible"] is False
    assert any("lora" in way for way in found["would_help"])
    shared = planned(call, *EIGHT, "--method", "ppo", "--finetune", "lora")
    assert shared["feasible"] is True and shared["stages"][-1]["reward_queue"]["needed"] >= 1


def test_the_text_has_the_trade_offs_in_the_users_figures(call: Call) -> None:
    out = call("plan", *EIGHT).out
    assert "take orpo" in out and "GiB" in out and "would help" in out
    table = [line.split() for line in out.splitlines() if line.startswith("  ")]
    assert {row[0] for row in table} >= {"method", "orpo", "dpo", "ppo", "rloo"}


def test_a_pipeline_is_written_and_what_it_lacks_is_named(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "mine" / "pipeline.yaml"
    found = planned(call, *EIGHT, "--write", str(path))
    assert found["pipeline"] == str(path) and path.read_text().startswith("# ORPO for meta-llama/Llama-3.1-8B")
    assert found["missing_files"] == [str(path.parent / "data/pairs.jsonl")]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--model", "Llama-3.1-8B", "--gpus", "0xA100-80GB"), ["count of 0"]),
        (("--model", "Llama-3.1-8B", "--gpus", "2xA100-8GB"), ["A100-80GB"]),
        (("--model", "Lama-3.1-8B"), ["Llama-3.1-8B"]),
        (("--model", "Llama-3.1-8B", "--budget", "-1", "--cost-per-gpu-hour", "1"), ["--budget -1"]),
        (("--model", "Llama-3.1-8B", "--method", "dpoo"), ["--method dpoo", "dpo"]),
        (("--model", "Llama-3.1-8B", "--have", "pear"), ["--have pear"]),
        (("--gpus", "cpu"), ["--model"]),
        (("--model", "Llama-3.1-8B", "--shard", "3", "--write", "p.yaml"), ["--write", "Elsewhere"]),
    ],
)
def test_nonsense_is_refused_in_a_line(call: Call, arguments: tuple[str, ...], parts: list[str]) -> None:
    ended = call("plan", *arguments)
    assert ended.code == 2 and ended.out == ""
    assert len(ended.told) == 1 and ended.told[0].startswith("plan error: ")
    assert all(part in ended.err for part in parts)


def test_a_file_that_no_plan_wrote_is_not_written_over(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert [call("plan", *EIGHT, "--write", path).code for _ in range(2)] == [0, 0]
    path.write_text("# my own work\n")
    ended = call("plan", *EIGHT, "--write", path)
    assert ended.code == 2 and "mine.yaml: holds something that no plan wrote" in ended.told[-1]
    assert path.read_text() == "# my own work\n"


def test_known_names_are_listed(call: Call) -> None:
    assert "Qwen/Qwen2.5-7B" in call("plan", "--list", "models").out
    assert "H200-141GB" in call("plan", "--list", "gpus").out


def test_own_measurements_take_the_place_of_the_shipped_ones(call: Call, tmp_path: Path) -> None:
    speeds = json.loads(SHIPPED.read_text()) | {"source": "mine", "cpu_training": 10 * load_calibration().cpu_training}
    (tmp_path / "boresight").mkdir()
    (tmp_path / "boresight/calibration.json").write_text(json.dumps(speeds))
    arguments = ("--model", "SmolLM2-135M", "--gpus", "cpu", "--have", "pairs", "--method", "orpo")
    mine = planned(call, *arguments)
    shipped = planned(call, *arguments, "--calibration", str(SHIPPED))
    assert mine["calibration"] == "mine" and mine["hours"] < 0.2 * shipped["hours"]


def test_it_answers_within_a_second_and_never_loads_torch() -> None:
    """Processor seconds, since the machine may be busy with other work."""
    program = (
        "import sys, time\n"
        "sys.argv = ['boresight', 'plan', '--model', 'Llama-3.1-8B', '--gpus', '2xA100-80GB', '--json']\n"
        "from boresight.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'numpy'} & set(sys.modules)\n"
        "print(time.process_time(), sorted(heavy), file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, heavy = ended.stderr.split(maxsplit=1)
    assert heavy.strip() == "[]" and float(seconds) < 1.0


def test_labels_are_planned_without_a_model(call: Call) -> None:
    ended = call("plan", "--labels", "2000", "--have", "judge", "--budget", "100", "--json")
    found = json.loads(ended.out)
    assert ended.code == 0 and found["advice"] == "AI, both orders" and len(found["ways"]) == 4
    told = call("plan", "--labels", "2000", "--have", "judge", "--budget", "100").out
    assert "advised: AI, both orders" in told and "the budget is 100" in told
    refused = call("plan", "--labels", "2000", "--people", "0")
    assert refused.code == 2 and "--people 0: expected more than 0" in refused.err
    assert call("plan", "--labels", "2000", "--regulated", "--have", "judge", "--budget", "1").code == 1
