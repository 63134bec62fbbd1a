"""`ai_labels` with people beside the judge: it waits, goes on when they have answered, and their votes win."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from boresight.config.load import load_pipeline
from boresight.data.jsonl import read_records, write_records
from boresight.errors import ConfigError, DataError, JudgeError, PausedError
from boresight.feedback.calibration import calibrate, save_calibration
from boresight.feedback.human_votes import HumanVotes
from boresight.feedback.judged_couples import read_judged_couples
from boresight.pipeline.artifacts import RunFolder
from boresight.pipeline.check_data import read_data
from boresight.pipeline.context import identify
from boresight.pipeline.report import write_report
from boresight.pipeline.run import build_stage, write_summary
from boresight.pipeline.run_summary import HEADLINES
from boresight.records import PreferencePair
from boresight.storage import read_json, write_text
from tests.feedback.judge_server import Bias, JudgeServer
from tests.feedback.planted_couples import vote
from tests.feedback.test_rubric_judge import response

PIPELINE = """\
run: {{name: x, seed: 1}}
model: {{path: base}}
stages:
  drafts: {{kind: sample, policy: base_model, prompts: prompts.jsonl}}
  labels:
    {{kind: ai_labels, responses: drafts, judge: {judge}, human_share: 0.25, human_labels: [answers.jsonl]{more}}}
"""
RULES = "{kind: rules, noise: 0.2}"
QUALITY = {"rules": [{"name": "good", "weight": 1.0, "contains": "quality=0.9"}]}


class Surroundings:
    """A run whose drafts are built, and whose labels can be built again and again."""

    def __init__(self, folder: Path, judge: str = RULES, more: str = "", couples: int = 60) -> None:
        from dataclasses import replace

        self.folder, self.answers = folder, folder / "answers.jsonl"
        (folder / "prompts.jsonl").touch()
        (folder / "pipeline.yaml").write_text(PIPELINE.format(judge=judge, more=more))
        self.pipeline = load_pipeline(folder / "pipeline.yaml")
        self.runs = RunFolder(folder / "run")
        made = [
            response(f"p{n}", i, f"quality={0.1 + 0.8 * ((n + i) % 2):g} text {n}")
            for n in range(couples)
            for i in (0, 1)
        ]
        made = [replace(one, prompt=replace(one.prompt, expect=QUALITY, kind="plain")) for one in made]
        drafts = self.runs.open(identify("drafts", self.pipeline, self.runs))
        write_records(drafts / "responses.jsonl", made)
        facts = {"responses": len(made), "prompts": couples, "mean_tokens": 4.0, "stop_rate": 1.0, "dropped": {}}
        self.runs.finish(identify("drafts", self.pipeline, self.runs), facts)
        self.said: list[str] = []

    def build(self) -> bool:
        return build_stage("labels", self.pipeline, self.runs, anew=False, say=self.said.append)

    def asked(self) -> list[dict[str, Any]]:
        path = self.runs.root / "ask_people" / "labels.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def answer(self, rows: list[dict[str, Any]]) -> None:
        """People know which is better."""
        with self.answers.open("a") as stream:
            for row in rows:
                good = "quality=0.9" in row["responses"][0]
                stream.write(json.dumps(row | {"ranks": [1, 2] if good else [2, 1]}) + "\n")

    def result(self) -> dict[str, Any]:
        return dict(read_json(self.runs.stage("labels") / "result.json"))

    def pairs(self) -> list[PreferencePair]:
        return read_records(self.runs.stage("labels") / "pairs.jsonl", PreferencePair)


@pytest.fixture
def run(tmp_path: Path) -> Surroundings:
    return Surroundings(tmp_path)


def test_stage_waits_for_people_and_goes_on_when_all_have_answered(run: Surroundings) -> None:
    with pytest.raises(PausedError, match="15 of 15 couples are unanswered") as paused:
        run.build()
    assert str(run.answers) in str(paused.value) and "ask_people/labels.jsonl" in str(paused.value)
    rows = run.asked()
    assert len(rows) == 15 and all(set(row) == {"id", "prompt", "responses"} for row in rows)
    with pytest.raises(PausedError):
        run.build()
    assert run.asked() == rows  # nothing moves while nobody answers
    run.answer(rows[:6])
    with pytest.raises(PausedError, match="9 of 15 couples are unanswered"):
        run.build()
    assert run.asked() == rows[6:]
    run.answer(rows[6:])
    assert run.build() and not run.asked()
    write_text(run.runs.root / "pipeline.yaml", run.pipeline.to_yaml())
    write_summary(run.pipeline, run.runs)
    people = run.result()["people"]
    assert people["human"] == 15 and people["pairs"] == 60 and people["human_share"] == 0.25
    assert people["ai_label_error"]["audited"] == round(15 * 0.3) and people["audit_unanswered"] == 0
    told = " ".join(HEADLINES["ai_labels"](run.result()))
    assert "15 pairs by people (25" in told and "wrong by people's word" in told
    page = re.sub(r"<[^>]*>", "", write_report(run.runs.root).read_text())
    assert "People labelled 15 of these pairs (25.0%)" in page and "estimated from 4 audited pairs" in page
    human = [pair for pair in run.pairs() if pair.source == "human"]
    assert len(human) == 15 and all("quality=0.9" in pair.chosen[0].content for pair in human)
    assert any("quality=0.1" in pair.chosen[0].content for pair in run.pairs() if pair.source == "ai")
    assert not run.build()  # built, and nothing changed


def test_other_answers_make_another_artifact(run: Surroundings) -> None:
    with pytest.raises(PausedError):
        run.build()
    run.answer(run.asked())
    assert run.build()
    before = run.result()
    lines = run.answers.read_text().splitlines()
    first = json.loads(lines[0])
    first["ranks"] = first["ranks"][::-1]
    run.answers.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    assert run.build() and run.result()["people"] != before["people"]


def test_answers_that_cannot_be_read_and_the_wait_are_told_by_check(run: Surroundings) -> None:
    assert [(f.id, f.severity) for f in read_data(run.pipeline).findings if f.stage == "labels"] == [
        ("waits_for_people", "note")
    ]
    run.answers.write_text('{"prompt": 1}\n')
    faults = [f for f in read_data(run.pipeline).findings if f.stage == "labels"]
    assert [(f.id, f.severity) for f in faults] == [("data_unusable", "error")] and "answers.jsonl" in faults[0].message
    with pytest.raises(DataError):
        run.build()


def test_share_without_a_place_for_answers_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").touch()
    text = PIPELINE.format(judge=RULES, more="").replace(", human_labels: [answers.jsonl]", "")
    (tmp_path / "pipeline.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"human_share: 0\.25, but where people answer is not said"):
        load_pipeline(tmp_path / "pipeline.yaml")


def test_judge_is_paid_once_however_long_people_take_and_its_calibration_is_applied(tmp_path: Path) -> None:
    with JudgeServer(Bias(noise=0.3)) as server:
        judge = f"{{kind: openai, base_url: '{server.url}', model: qwen-judge, rubric_file: own.yaml}}"
        (tmp_path / "own.yaml").write_text("name: own\ncriteria:\n  - {name: good, question: Which is better}\n")
        plain = Surroundings(tmp_path, judge, couples=80)
        with pytest.raises(PausedError):
            plain.build()
        asked = len(server.requests)
        assert asked == 160
        plain.answer(plain.asked())
        assert plain.build() and len(server.requests) == asked
        judged = read_judged_couples(plain.runs.stage("labels") / "judged.jsonl")
        everybody = HumanVotes([vote(c, 1 if "quality=0.9" in c.a else 2) for c in judged.couples])
        made, _, _ = calibrate([(c, everybody.of(c)) for c in judged.couples], judged.judge, {}, audit=12)  # type: ignore[misc]
        save_calibration(made, tmp_path / "calibration.json")
        softer = Surroundings(tmp_path, judge, ", calibration: calibration.json", couples=80)
        lines = softer.answers.read_text().splitlines()
        softer.answers.write_text("\n".join(lines[1:]) + "\n")
        with pytest.raises(PausedError, match="1 of 20 couples"):
            softer.build()
        softer.answers.write_text("\n".join(lines) + "\n")
        assert len(server.requests) == asked + 24  # drift is looked for once, however long people take
        assert softer.build()  # the plan asks what was answered already, for the judge's probabilities moved alike
        assert len(server.requests) == asked + 24 and softer.result()["drift"]["changed"] == 0.0
        machine = [pair.p_chosen for pair in softer.pairs() if pair.source == "ai"]
        assert machine and all(p == pytest.approx(made.p(1.0, "x", "y")) for p in machine)
        save_calibration(calibrate([(c, everybody.of(c)) for c in judged.couples], {"judge": "other"}, {})[0],  # type: ignore[misc]
                         tmp_path / "calibration.json")  # fmt: skip
        with pytest.raises(JudgeError, match="calibrated for judge 'other'"):
            Surroundings(tmp_path, judge, ", calibration: calibration.json", couples=80).build()
