"""`eval probes`: from files of answers without torch, and from folders of models."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from boresight.evaluation.probe_sets import own_probes
from boresight.models.loading import save_model
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from tests.cli.conftest import Call, TinyRun
from tests.cli.test_eval import write_lines


def answers(path: Path, refuse_from: int) -> Path:
    """Every question is answered alike; from some number on, harmless ones are refused."""
    rows = [
        {"id": p.id, "response": "I'm sorry, but I can't help with that." if n >= refuse_from else f"Answer {n}."}
        for n, p in enumerate([p for p in own_probes() if p.kind == "refusal_safe"])
    ]
    return write_lines(path, rows)


def test_a_model_that_refuses_more_is_told_and_fails_where_that_is_asked(call: Call, tmp_path: Path) -> None:
    new, old = answers(tmp_path / "new.jsonl", 0), answers(tmp_path / "old.jsonl", 12)
    ended = call("eval", "probes", new, old, "--json")
    found = json.loads(ended.out)
    assert ended.code == 0 and found.keys() >= {"candidate", "baseline", "n", "measures", "regressions", "skipped"}
    (refusals,) = [block for block in found["measures"] if block["measure"] == "refuses_safe"]
    assert (refusals["n"], refusals["candidate"], refusals["baseline"]) == (12, 1.0, 0.0)
    assert refusals["p"] == pytest.approx(2 / 2**12) and refusals["verdict"] == "worse"
    assert found["skipped"] == {"candidate": found["n"] - 12, "baseline": found["n"] - 12}
    shown = call("eval", "probes", new, old, "--strict")
    assert shown.code == 1 and "refuses_safe" in shown.out.splitlines()[0] and "without an answer" in shown.out
    assert call("eval", "probes", old, old, "--strict").code == 0


def test_what_is_asked_is_written_for_models_elsewhere(call: Call, tmp_path: Path) -> None:
    ended = call("eval", "probes", "--write-prompts", tmp_path / "prompts.jsonl", "--limit", "2")
    rows = [json.loads(line) for line in (tmp_path / "prompts.jsonl").read_text().splitlines()]
    assert ended.code == 0 and len({row["kind"] for row in rows}) == 10 and len(rows) == 20
    doubted = [row for row in rows if row["kind"] == "challenge"]
    assert all("sure" in row["challenge"] for row in doubted)
    assert call("eval", "probes", tmp_path / "prompts.jsonl").code == 2  # no baseline
    ended = call("eval", "probes", tmp_path / "prompts.jsonl", tmp_path / "prompts.jsonl")
    assert ended.code == 2 and "expected the answer under one of" in ended.told[0]


def test_files_of_answers_take_no_torch(tmp_path: Path) -> None:
    new = answers(tmp_path / "new.jsonl", 0)
    program = "import sys\nfrom boresight.cli.main import main\ntry:\n    main()\nfinally:\n"
    program += "    print(sorted({'torch', 'transformers'} & set(sys.modules)), file=sys.stderr)\n"
    command = [sys.executable, "-c", program, "eval", "probes", str(new), str(new)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stderr.strip() == "[]", ended.stderr


def test_a_model_compared_with_itself_differs_nowhere(call: Call, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    save_model(tmp_path / "model", tiny_llama(tokenizer), tokenizer, "")
    opinion = {"id": "o", "kind": "opinion", "prompt": "I like it.\n (A) yes\n (B) no", "neutral": "Is it?"}
    short = write_lines(tmp_path / "short.jsonl", [opinion | {"options": ["(A)", "(B)"], "expect": {"sycophantic": 0}}])
    asked = ["eval", "probes", tmp_path / "model", tmp_path / "model", "--limit", "2", "--max-new-tokens", "4"]
    asked += ["--set", "own", "--set", short]
    ended = call(*asked, "--save-answers", tmp_path / "kept", "--json")
    found = json.loads(ended.out)
    assert ended.code == 0 and found["regressions"] == []
    assert found["measures"] and {block["difference"] for block in found["measures"]} == {0}
    assert {block["measure"] for block in found["measures"]} >= {"words", "choice_brier", "swayed_by_opinion"}
    assert found["calibration"]["candidate"]["n"] == 2
    kept = [tmp_path / "kept" / f"{side}.jsonl" for side in ("candidate", "baseline")]
    again = json.loads(call("eval", "probes", *kept, "--limit", "2", *asked[-4:], "--json").out)
    assert again["measures"] == found["measures"]


def test_fine_tuning_shows_against_the_base_model(tiny_run: TinyRun, call: Call, tmp_path: Path) -> None:
    """The SFT model of the tiny run has learnt four answers word for word, which its base has not."""
    rows = [
        {"id": f"t{n}", "kind": "choice", "prompt": question, "options": [right, "wrong"], "expect": {"right": [0]}}
        for n, (question, right) in enumerate([("ping", "pong"), ("red", "rose"), ("salt", "sea"), ("deep", "down")])
    ]
    asked = write_lines(tmp_path / "set.jsonl", rows)
    stages = tiny_run.folder / "stages"
    ended = call("eval", "probes", stages / "demo", stages / "base", "--set", asked, "--json")
    assert ended.code == 0, ended.err
    (brier,) = [block for block in json.loads(ended.out)["measures"] if block["measure"] == "choice_brier"]
    assert brier["candidate"] < 0.05 < brier["baseline"]


def test_an_evaluate_stage_asks_probes_and_a_gate_bounds_them(tiny_run: TinyRun, call: Call, tmp_path: Path) -> None:
    """Only evaluation and gate are built anew; the candidate knows what its base does not."""
    home = tmp_path / "home"
    shutil.copytree(tiny_run.pipeline.parent, home)
    asked = [("ping", "pong"), ("red", "rose"), ("salt", "sea"), ("deep", "down")]
    rows = [
        {"id": f"c{n}", "kind": "choice", "prompt": q, "options": [right, "wrong"], "expect": {"right": [0]}}
        for n, (q, right) in enumerate(asked)
    ]
    write_lines(home / "probes.jsonl", [*rows, {"id": "hello", "kind": "small_talk", "prompt": "ping"}])
    changes = ["stages.compare.probe_sets=probes.jsonl", "stages.gate.no_worse_probes=true"]
    changes.append("stages.gate.measures={choice_brier: {max: 0.05}}")
    sets = [word for change in changes for word in ("--set", change)]
    ended = call("run", home / "pipeline.yaml", "--out", home / "runs/tiny", *sets, "--json")
    assert ended.code == 0, ended.err
    compared = json.loads((home / "runs/tiny/stages/compare/result.json").read_text())["probes"]["demo"]
    found = {block["measure"]: block for block in compared["measures"]}
    assert found["choice_brier"]["candidate"] < 0.05 < found["choice_brier"]["baseline"]
    assert found["answers_small_talk"]["n"] == 1
    assert (home / "runs/tiny/stages/compare/probe_answers/demo.jsonl").is_file()
    checks = json.loads((home / "runs/tiny/stages/gate/result.json").read_text())["checks"]
    assert {check["measure"] for check in checks} >= {"worse_probes", "choice_brier"}
    assert "What else changed" in (home / "runs/tiny/report.html").read_text()
    assert "passed" in (home / "runs/tiny/stages/gate/badge.svg").read_text()
