"""A regulated pipeline: refused by `check`, and not held by its gate, where AI labels decide alone."""

import shutil
from dataclasses import replace
from pathlib import Path

from boresight.config.load import load_pipeline
from boresight.config.pipeline import Pipeline
from boresight.data.jsonl import read_records, write_records
from boresight.pipeline.artifacts import RunFolder
from boresight.pipeline.check_data import read_data
from boresight.pipeline.check_regulated import regulated_findings
from boresight.pipeline.context import identify
from boresight.pipeline.run import build_stage
from boresight.records import Message, PreferencePair
from boresight.storage import read_json

from . import tiny_pipeline as tiny

STAGES = """\
run: {{name: x, regulated: {regulated}}}
model: {{path: base}}
stages:
  drafts: {{kind: sample, policy: base_model, prompts: prompts.jsonl}}
  labels: {{kind: ai_labels, responses: drafts, judge: {{kind: rules}}{labels}}}
  pairs: {{kind: preferences, sources: [labels{sources}]}}
  scorer: {{kind: reward_model, data: pairs}}
  dpo: {{kind: dpo, policy: base_model, reference: base_model, data: labels}}
  compare:
    {{kind: evaluate, candidates: [dpo], baseline: dpo, prompts: prompts.jsonl,
     judge: {{kind: reward_model, model: scorer}}}}
  gate: {{kind: gate, of: compare}}
"""


def findings(
    folder: Path, regulated: str = "true", labels: str = "", sources: str = "", gate: bool = True
) -> set[tuple[str, str | None]]:
    for name in ("prompts.jsonl", "answers.jsonl"):
        (folder / name).touch()
    text = STAGES.format(regulated=regulated, labels=labels, sources=sources)
    (folder / "pipeline.yaml").write_text(text if gate else text.replace("  gate: {kind: gate, of: compare}\n", ""))
    pipeline = load_pipeline(folder / "pipeline.yaml")
    return {(f.id, f.stage) for f in regulated_findings(pipeline, read_data(pipeline))}


def write_pair(path: Path, source: str) -> None:
    text = {
        name: (Message("user" if name == "prompt" else "assistant", name),) for name in ("prompt", "chosen", "rejected")
    }
    write_records(path, [PreferencePair(id="a", source=source, **text)])


def test_check_refuses_to_learn_from_a_judge_alone(tmp_path: Path) -> None:
    both = {("regulated_ai_labels", "scorer"), ("regulated_ai_labels", "dpo")}
    assert findings(tmp_path) == both
    assert findings(tmp_path, regulated="false") == set()
    assert findings(tmp_path, gate=False) == both | {("regulated_without_gate", None)}


def test_people_anywhere_in_the_labels_are_enough(tmp_path: Path) -> None:
    assert findings(tmp_path, labels=", human_share: 0.1, human_labels: answers.jsonl") == set()
    write_pair(tmp_path / "more.jsonl", "human")
    assert findings(tmp_path, sources=", more.jsonl") == {("regulated_ai_labels", "dpo")}
    write_pair(tmp_path / "more.jsonl", "ai")
    assert ("regulated_ai_labels", "scorer") in findings(tmp_path, sources=", more.jsonl")


def as_regulated(folder: Path) -> Pipeline:
    """The tiny pipeline, marked; only the gate becomes another stage by it."""
    path = folder / "data" / "regulated.yaml"
    path.write_text(tiny.TEXT.replace("seed: 3,", "seed: 3, regulated: true,"))
    return load_pipeline(path)


def gate_of(pipeline: Pipeline, runs: RunFolder) -> dict[str, tuple[bool, str]]:
    build_stage("gate", pipeline, runs, anew=True, say=lambda line: None)
    return {c["measure"]: (c["passed"], c["reason"]) for c in read_json(runs.stage("gate") / "result.json")["checks"]}


def test_gate_holds_where_people_labelled_too_and_not_where_a_judge_did_alone(built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(built, folder)
    pipeline, runs = as_regulated(folder), RunFolder(folder / "run")
    assert identify("scorer", pipeline, runs).key == runs.built_key("scorer")
    assert identify("gate", pipeline, runs).key != runs.built_key("gate")
    held = gate_of(pipeline, runs)
    assert held["labels_beyond_ai"][0] and held["judge_beyond_ai"] == (True, held["judge_beyond_ai"][1])
    pairs = runs.stage("pairs") / "pairs.jsonl"
    write_records(pairs, [replace(pair, source="ai") for pair in read_records(pairs, PreferencePair)])
    failed = gate_of(pipeline, runs)
    assert not failed["labels_beyond_ai"][0] and "scorer learned from 0 labels" in failed["labels_beyond_ai"][1]
    assert not read_json(runs.stage("gate") / "result.json")["passed"]


def test_gate_of_a_run_that_is_not_regulated_asks_nothing_of_labels(built: Path) -> None:
    checks = read_json(built / "run" / "stages" / "gate" / "result.json")["checks"]
    assert {check["measure"] for check in checks} == {"win_rate", "win_rate_lower_bound"}
