"""`to_dict()` is the object of `--json`, `str()` the text of the command, and errors are the same words."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import boresight as bs
from tests.api.conftest import mapping
from tests.cli.conftest import Call

Make = Callable[[Path, bs.Run], tuple[bs.Plan | bs.CheckResult, tuple[str | Path, ...]]]


@pytest.fixture(autouse=True)
def shipped_speeds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def raters(folder: Path) -> Path:
    path = folder / "raters.csv"
    path.write_text("item,anna,ben\n" + "".join(f"{n},{'ab'[n % 2]},{'ab'[n % 3 % 2]}\n" for n in range(12)))
    return path


def pairs(folder: Path) -> Path:
    path = folder / "pairs.csv"
    rows = "".join(f"question {n},a long good answer {n},no {n}\n" for n in range(12))
    path.write_text("prompt,chosen,rejected\n" + rows + "same,word,word\n")
    return path


def scores(folder: Path) -> Path:
    path = folder / "scores.jsonl"
    path.write_text(
        "".join(json.dumps({"chosen_score": 1.0 * (n % 4), "rejected_score": 0.5}) + "\n" for n in range(12))
    )
    return path


def log(folder: Path) -> Path:
    path = folder / "log.csv"
    path.write_text("step,loss,grad_norm\n1,2.0,1.0\n2,nan,nan\n3,nan,nan\n")
    return path


CASES: dict[str, Make] = {
    "plan": lambda here, run: (
        bs.plan("Llama-3.1-8B", gpus="2xA100-80GB", cost_per_gpu_hour=2.0),
        ("plan", "--model", "Llama-3.1-8B", "--gpus", "2xA100-80GB", "--cost-per-gpu-hour", "2"),
    ),
    "diagnose": lambda here, run: (bs.diagnose(log(here)), ("diagnose", log(here))),
    "diagnose a run": lambda here, run: (run.diagnose(), ("diagnose", run.folder)),
    "lint": lambda here, run: (bs.lint(pairs(here)), ("data", "lint", pairs(here))),
    "inspect": lambda here, run: (bs.load_data(pairs(here)), ("data", "inspect", pairs(here))),
    "winrate": lambda here, run: (
        bs.evaluate.winrate(run.folder / "stages/compare/comparisons.jsonl"),
        ("eval", "winrate", run.folder / "stages/compare/comparisons.jsonl"),
    ),
    "agreement": lambda here, run: (
        bs.evaluate.agreement(raters(here), raters=("anna", "ben")),
        ("eval", "agreement", raters(here), "--rater", "anna", "--rater", "ben"),
    ),
    "reward": lambda here, run: (
        bs.evaluate.reward(scores(here), pairs(here)),
        ("eval", "reward", scores(here), pairs(here)),
    ),
    "check": lambda here, run: (
        bs.check(run.folder / "pipeline.yaml", graph=True),
        ("check", run.folder / "pipeline.yaml", "--graph"),
    ),
    "report": lambda here, run: (bs.report(run), ("report", run.folder)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_object_and_the_text_are_those_of_the_command(name: str, tmp_path: Path, tiny: bs.Run, call: Call) -> None:
    done, arguments = CASES[name](tmp_path, tiny)
    told = json.loads(json.dumps(done.to_dict()))
    shown = json.loads(call(*arguments, "--json").out)
    for found in (told, shown):
        found.get("memory", {}).get("machine", {}).pop("bytes", None)  # free memory at that moment
    assert told == shown
    text = call(*arguments).out.rstrip("\n")
    if name == "check":  # what is free at that moment stands in it too
        text, own = (part.split("This machine")[0] for part in (text, str(done)))
        assert own == text
    else:
        assert str(done) == text
    assert f"{done!r}" == str(done)


def test_a_run_again_is_the_run_that_stands_and_tells_it_as_the_command_does(tiny: bs.Run, call: Call) -> None:
    assert tiny.summary.built == ("base", "demo", "compare", "gate") and tiny.to_dict()["reused"] == []
    ended = call("run", tiny.folder / "pipeline.yaml", "--out", tiny.folder, "--json")
    again = bs.run(tiny.folder / "pipeline.yaml", out=tiny.folder, say=lambda line: None)
    assert again.to_dict() == json.loads(ended.out)
    assert again.to_dict() == bs.load_run(tiny.folder).to_dict()
    assert {k: v for k, v in again.to_dict().items() if k not in ("built", "reused")} == {
        k: v for k, v in tiny.to_dict().items() if k not in ("built", "reused")
    }


FAULTS: dict[str, tuple[Callable[[Path], object], Callable[[Path], tuple[str | Path, ...]]]] = {
    "no file": (lambda here: bs.run(here / "no.yaml"), lambda here: ("run", here / "no.yaml")),
    "no log": (lambda here: bs.diagnose(here / "no.log"), lambda here: ("diagnose", here / "no.log")),
    "no run": (lambda here: bs.report(here), lambda here: ("report", here)),
    "no gpu": (
        lambda here: bs.plan("Llama-3.1-8B", gpus="2xA100-8GB"),
        lambda here: ("plan", "--model", "Llama-3.1-8B", "--gpus", "2xA100-8GB"),
    ),
    "one of two": (
        lambda here: bs.evaluate.winrate(here / "v.json", weights=here / "w.csv"),
        lambda here: ("eval", "winrate", here / "v.json", "--weights", here / "w.csv"),
    ),
    "no raters": (
        lambda here: bs.evaluate.agreement(raters(here), raters=("anna", "carl")),
        lambda here: ("eval", "agreement", raters(here), "--rater", "anna", "--rater", "carl"),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_error_has_the_words_of_the_command(name: str, tmp_path: Path, call: Call) -> None:
    in_python, on_the_line = FAULTS[name]
    with pytest.raises(bs.BoresightError) as raised:
        in_python(tmp_path)
    ended = call(*on_the_line(tmp_path))
    assert ended.code == 2
    assert ended.told == [f"{raised.value.label}: {line}" for line in str(raised.value).splitlines()]


def test_a_check_that_finds_an_error_refuses_the_run_in_the_words_of_the_command(tiny: bs.Run, call: Call) -> None:
    bad = {"stages.demo.max_length": 2}
    with pytest.raises(bs.BoresightError) as raised:
        bs.run(tiny.folder / "pipeline.yaml", overrides=bad, out=tiny.folder / "never", say=lambda line: None)
    ended = call(
        "run", tiny.folder / "pipeline.yaml", "--set", "stages.demo.max_length=2", "--out", tiny.folder / "never"
    )
    assert str(raised.value).splitlines() == ended.told[-len(str(raised.value).splitlines()) :]
    assert "stage demo" in str(raised.value) and not (tiny.folder / "never").exists()


def test_a_full_disk_is_a_storage_error_whatever_met_it(tiny: bs.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> Path:
        raise OSError(28, "No space left on device", str(folder / "report.html"))

    monkeypatch.setattr("boresight.api.reporting.write_report", full)
    with pytest.raises(bs.BoresightError, match=r"report\.html: the disk is full"):
        bs.report(tiny)


def test_faults_of_a_mapping_are_told_with_their_keys(tmp_path: Path) -> None:
    values = mapping(tmp_path)
    values["stages"]["demo"]["epoch"] = 1
    with pytest.raises(bs.BoresightError) as raised:
        bs.check(values)
    assert 'pipeline: stages.demo.epoch: unknown key (value 1); did you mean "epochs"?' in str(raised.value)
    assert f'pipeline: stages.base.data: no such file: "{tmp_path / "docs.txt"}"' in str(raised.value)
