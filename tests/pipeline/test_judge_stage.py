"""The `ai_labels` stage with a judge over HTTP: labels, what is kept, and what its key is made of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boresight.config.load import load_pipeline
from boresight.data.jsonl import read_records, write_records
from boresight.data.refusals import RowsAside
from boresight.errors import ConfigError, DataError
from boresight.pipeline.artifacts import Identity, RunFolder, stage_config
from boresight.pipeline.check_data import read_data
from boresight.pipeline.context import StageContext
from boresight.pipeline.data_stages import ai_labels
from boresight.records import PreferencePair
from tests.feedback.judge_server import Bias, JudgeServer
from tests.feedback.test_rubric_judge import response

OWN = "name: own\ncriteria:\n  - {name: good, question: Which is better for me}\n"
PIPELINE = """\
run: {{name: x, seed: 1}}
model: {{path: base}}
stages:
  drafts: {{kind: sample, policy: base_model, prompts: prompts.jsonl}}
  labels: {{kind: ai_labels, responses: drafts, judge: {{kind: openai, base_url: "{url}", model: drafts{more}}}}}
"""


@pytest.fixture
def aside() -> Iterator[RowsAside]:
    with RowsAside() as rows:
        yield rows


def context(folder: Path, aside: RowsAside, url: str, more: str = "") -> StageContext:
    (folder / "prompts.jsonl").touch()
    (folder / "pipeline.yaml").write_text(PIPELINE.format(url=url, more=more))
    pipeline = load_pipeline(folder / "pipeline.yaml")
    runs = RunFolder(folder / "run")
    config = pipeline.stages["labels"]
    identity = Identity(stage="labels", kind="ai_labels", config=stage_config(config), model={}, seed=1, inputs={})
    texts = [f"quality={quality}" for quality in (0.1, 0.5, 0.9)]
    drafts = [response(f"p{n}", i, text) for n in range(3) for i, text in enumerate(texts)]
    write_records(runs.stage("drafts") / "responses.jsonl", drafts)
    return StageContext("labels", config, pipeline, runs, identity, runs.partial("labels"), aside)


def build(surroundings: StageContext) -> dict[str, Any]:
    return ai_labels(surroundings, surroundings.config)  # type: ignore[arg-type]


def test_stage_labels_by_a_rubric_of_ones_own_and_asks_nothing_twice(tmp_path: Path, aside: RowsAside) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    with JudgeServer() as server:
        surroundings = context(tmp_path, aside, server.url, ", rubric_file: own.yaml")
        result = build(surroundings)
        assert len(server.requests) == 6  # a couple of each of 3 prompts, in 2 orders, by 1 criterion
        again = build(surroundings)
        assert len(server.requests) == 6
    assert (result["pairs"], result["failed"], result["judging"]["rubric"]) == (3, 0, "own")
    assert again["judging"]["cost"]["known_before"] == 6
    pairs = read_records(surroundings.folder / "pairs.jsonl", PreferencePair)
    assert all(pair.source == "ai" and pair.p_chosen == 0.95 and pair.meta["judge"] == "drafts" for pair in pairs)
    assert [entry for entry in surroundings.pipeline.references("labels").items()] == [("responses", ["drafts"])]
    assert surroundings.pipeline.file_inputs("labels") == {"judge.rubric_file": [(tmp_path / "own.yaml").resolve()]}


def test_stage_without_any_label_says_why(tmp_path: Path, aside: RowsAside) -> None:
    with JudgeServer(Bias(position=1.0)) as server, pytest.raises(DataError, match="3 verdicts that turned"):
        build(context(tmp_path, aside, server.url))


def test_how_the_judge_is_asked_is_no_part_of_the_key(tmp_path: Path, aside: RowsAside) -> None:
    plain = context(tmp_path, aside, "http://h/v1").identity.key
    assert context(tmp_path, aside, "http://h/v1", ", patience_seconds: 5, most_at_once: 2").identity.key == plain
    assert context(tmp_path, aside, "http://h/v1", ", rubric: harmless").identity.key != plain


@pytest.mark.parametrize("url", ["localhost:8000/v1", "https://user:pass@h/v1", "https://h/v1?key=abc"])
def test_address_that_is_none_or_holds_a_secret_is_a_config_error(tmp_path: Path, aside: RowsAside, url: str) -> None:
    with pytest.raises(ConfigError, match=r"stages\.labels\.judge\.base_url"):
        context(tmp_path, aside, url)


def test_rubric_file_that_is_none_is_found_before_anything_runs(tmp_path: Path, aside: RowsAside) -> None:
    (tmp_path / "own.yaml").write_text("name: own\ncriteria: []\n")
    pipeline = context(tmp_path, aside, "http://h/v1", ", rubric_file: own.yaml").pipeline
    faults = [finding.message for finding in read_data(pipeline).findings if finding.stage == "labels"]
    assert len(faults) == 1 and "own.yaml: criteria is []" in faults[0]
    (tmp_path / "own.yaml").write_text(OWN)
    assert [finding for finding in read_data(pipeline).findings if finding.stage == "labels"] == []


def test_constitution_and_judges_folder_that_are_none_are_found_before_anything_runs(
    tmp_path: Path, aside: RowsAside
) -> None:
    (tmp_path / "own.yaml").write_text("name: own\nprinciples: []\n")
    (tmp_path / "judge").mkdir()
    context(tmp_path, aside, "http://h/v1")
    text = (tmp_path / "pipeline.yaml").read_text()
    text = text.replace("prompts: prompts.jsonl}", "prompts: prompts.jsonl, revise: {constitution_file: own.yaml, by: "
                        "{kind: local_model, path: judge}}}")  # fmt: skip
    (tmp_path / "pipeline.yaml").write_text(text)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two"}\n')
    pipeline = load_pipeline(tmp_path / "pipeline.yaml")
    faults = [finding.message for finding in read_data(pipeline).findings if finding.stage == "drafts"]
    assert len(faults) == 2 and "own.yaml: principles is []" in faults[0]
    assert "judge: no model (config.json is not there)" in faults[1]
    (tmp_path / "own.yaml").write_text("name: own\nprinciples: [{name: kind, text: It is kind.}]\n")
    (tmp_path / "judge" / "config.json").write_text("{}")
    assert [finding for finding in read_data(pipeline).findings if finding.stage == "drafts"] == []
