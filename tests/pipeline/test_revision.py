"""Critique and revision in the `sample` stage, and what an `sft` stage learns from it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from boresight.data.jsonl import read_records
from boresight.errors import ConfigError, DataError, ServiceError
from boresight.feedback.constitution import load_constitution
from boresight.pipeline.report import write_report
from boresight.pipeline.run import run_pipeline
from boresight.records import Response
from boresight.storage import read_json
from tests.feedback.judge_server import JudgeServer, Said, completion

from . import tiny_pipeline as tiny

STAGES = """\
  revised:
    {kind: sample, policy: demo, prompts: prompts.jsonl, responses_per_prompt: 1, max_new_tokens: 6, batch_size: 4,
     revise: REVISE}
  better:
    {kind: sft, start: demo, data: [revised, demonstrations.jsonl], steps: 2, batch_size: 8, learning_rate: 1e-3}
"""
PRINCIPLES = [principle.text for principle in load_constitution("harmless").principles]


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy"


def build(folder: Path, revise: str, *names: str) -> dict[str, dict[str, Any]]:
    pipeline = tiny.load(folder / "data", text=tiny.TEXT + STAGES.replace("REVISE", revise))
    for name in names:
        run_pipeline(pipeline, folder / "run", only=name, say=lambda line: None)
    return {name: read_json(folder / "run" / "stages" / name / "result.json") for name in names}


def responses(folder: Path) -> list[Response]:
    return read_records(folder / "run/stages/revised/responses.jsonl", Response)


def by_endpoint(server: JudgeServer, more: str = "") -> str:
    return f"{{by: {{kind: openai, base_url: '{server.url}', model: writer, patience_seconds: 0{more}}}}}"


def test_endpoint_revises_each_response_and_sft_learns_the_revisions(copy: Path) -> None:
    with JudgeServer() as server:
        found = build(copy, by_endpoint(server), "revised", "better")
        assert len(server.requests) == 24 and "response_format" not in server.requests[0]
        shutil.rmtree(copy / "run/stages/revised")
        shutil.rmtree(copy / "run/stages/better")
        assert build(copy, by_endpoint(server), "revised")["revised"] == found["revised"]
        assert len(server.requests) == 24
    rows = responses(copy)
    assert len(rows) == found["revised"]["revised"] == 12 and found["revised"]["unrevised"] == {}
    for row in rows:
        assert row.text == f"Better: {row.revision['original']}".strip() and row.revision["by"] == "writer"
        assert row.revision["critique"] == "It could be better." and row.revision["principle"] in PRINCIPLES
    assert found["better"]["read"]["revised"] == 12
    assert "revised" in write_report(copy / "run").read_text()
    assert found["better"]["conversations"] == 12 + found["better"]["read"]["demonstrations.jsonl"]


def test_model_revises_itself_by_default_and_its_texts_survive_a_kill(copy: Path) -> None:
    config = copy / "run/stages/demo/model/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 8192}))
    with pytest.raises(DataError, match=r"none of 12 responses could be revised \({'cut_off': 12}\)"):
        build(copy, "{max_new_tokens: 1, temperature: 0}", "revised")  # nearly untrained, it does not end by itself
    kept = copy / "run/stages/revised.partial/chunks"
    assert sorted(path.name for path in kept.iterdir()) == ["demo-00000.jsonl", "demo-critique-00000.jsonl"]
    texts = [row.text for row in read_records(kept / "demo-critique-00000.jsonl", Response)]
    assert len(texts) == 12


def test_critique_that_fails_leaves_its_response_out_and_is_counted(copy: Path) -> None:
    with JudgeServer() as server:
        server.script = [
            completion(""), Said(400, b"no"), completion("half a cri", "length"), *[completion("fine")] * 9,
        ]  # fmt: skip
        found = build(copy, by_endpoint(server, ", most_at_once: 1"), "revised")["revised"]
    assert found["revised"] == len(responses(copy)) == 9
    assert found["unrevised"] == {"cut_off": 1, "empty": 1, "refused": 1}


def test_endpoint_out_of_reach_pauses_and_keeps_what_was_written(copy: Path) -> None:
    with JudgeServer() as server:
        server.dies_after = 20
        with pytest.raises(ServiceError, match=r"wrote no revision for \d of 12 responses.*Nothing is lost"):
            build(copy, by_endpoint(server), "revised")
        server.dies_after = None
        build(copy, by_endpoint(server), "revised")
        assert set(server.answered.values()) == {1}


def test_sft_takes_no_other_stage(copy: Path) -> None:
    with pytest.raises(ConfigError, match=r'stages\.demo\.data: "pairs" is a preferences stage; expected'):
        tiny.load(copy / "data", "stages.demo.data=pairs")
    with pytest.raises(ConfigError, match=r"revise\.by\.budget: 3 without prices"):
        tiny.load(copy / "data", text=tiny.TEXT + STAGES.replace(
            "REVISE", "{by: {kind: openai, base_url: 'http://h/v1', model: m, budget: 3}}"))  # fmt: skip
