"""What a policy may be paid by, through whole stages: loaded, checked, asked over HTTP, saved, paused and resumed."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.cli.faults import told
from boresight.errors import DataError, ModelError, ServiceError, TrainingError
from boresight.pipeline.run import run_pipeline
from boresight.storage import read_json

from ..score_server import ScoreServer
from . import tiny_pipeline as tiny

SERVICE = "{{kind: service, url: '{url}', patience_seconds: {patience}, batch_size: 3}}"


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScoreServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ScoreServer().start()
    yield server
    server.stop()


def run(folder: Path, stage: str, *overrides: str, out: str = "run") -> dict[str, Any]:
    """Build one stage with other settings on top of the run that is there; its result."""
    pipeline = tiny.load(folder / "data", *overrides)
    run_pipeline(pipeline, folder / out, only=stage, say=lambda line: None)
    result: dict[str, Any] = read_json(folder / out / "stages" / stage / "result.json")
    return result


@pytest.mark.parametrize("stage", ["ppo", "rloo"])
def test_parts_of_every_kind_are_summed(stage: str, copy: Path) -> None:
    parts = (
        "[{kind: ensemble, models: [scorer, second], combine: min}, {kind: rules, weight: 0.5}, "
        "{kind: match, pattern: '^l', weight: -0.1}, {kind: length, max_words: 3}]"
    )
    text = tiny.TEXT.replace(
        "  ppo:\n",
        "  second: {kind: reward_model, start: demo, data: pairs, batch_size: 8, learning_rate: 2e-3}\n  ppo:\n",
    )
    pipeline = tiny.load(copy / "data", f"stages.{stage}.reward={parts}", text=text)
    for name in ("second", stage):
        run_pipeline(pipeline, copy / "run", only=name, say=lambda line: None)
    folder = copy / "run" / "stages" / stage
    manifest, result = read_json(folder / "manifest.json"), read_json(folder / "result.json")
    assert [entry["stage"] for entry in manifest["inputs"]["reward.models"]] == ["scorer", "second"]
    assert result["reference_unchanged"] and result["reward_deviation"] > 0


def test_canary_is_loaded_scored_and_proved_frozen(copy: Path) -> None:
    text = tiny.TEXT.replace(
        "  ppo:\n",
        "  second: {kind: reward_model, start: demo, data: pairs, batch_size: 8, learning_rate: 2e-3}\n  ppo:\n",
    )
    canary = "[{kind: reward_model, model: second}, {kind: rules, weight: 0.5}]"
    pipeline = tiny.load(copy / "data", f"stages.rloo.canary={canary}", "stages.rloo.canary_every=2", text=text)
    for name in ("second", "rloo"):
        run_pipeline(pipeline, copy / "run", only=name, say=lambda line: None)
    folder = copy / "run" / "stages" / "rloo"
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows if "reward/canary_score" in row]
    assert steps == [0, 2, 3] and all(-1 <= rows[step]["reward/canary_correlation"] <= 1 for step in steps)
    assert {row["rule_score"] for row in map(json.loads, (folder / "samples.jsonl").read_text().splitlines())} <= {
        0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75,
    }  # fmt: skip
    manifest = read_json(folder / "manifest.json")
    assert [entry["stage"] for entry in manifest["inputs"]["canary.model"]] == ["second"]


def test_certificate_gives_the_scale(copy: Path) -> None:
    result = run(copy, "rloo", "stages.rloo.reward_scale=certificate")
    held_out = read_json(copy / "run/stages/scorer/result.json")["held_out_scores"]
    assert (result["reward_mean"], result["reward_deviation"]) == (held_out["mean"], held_out["deviation"])


def test_certificate_gives_the_scale_of_weighted_scores(copy: Path) -> None:
    weighted = "{kind: reward_model, model: scorer, weight: -2.0}"
    result = run(copy, "rloo", "stages.rloo.reward_scale=certificate", f"stages.rloo.reward={weighted}")
    held_out = read_json(copy / "run/stages/scorer/result.json")["held_out_scores"]
    assert (result["reward_mean"], result["reward_deviation"]) == (-2 * held_out["mean"], 2 * held_out["deviation"])


def test_samples_stand_beside_the_metrics(built: Path) -> None:
    for stage in ("ppo", "rloo"):
        folder = built / "run/stages" / stage
        rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows] == [step for step in range(4) for _ in range(4)]
        assert set(rows[0]) == {
            "step", "prompt", "kind", "response", "rule_score", "measures", "tokens", "stopped", "score",
            "score_normalized", "kl", "shaped_reward",
        }  # fmt: skip
        findings = read_json(folder / "result.json")["findings"]
        assert [finding["id"] for finding in findings][:1] == ["policy_not_finetuned"]  # nearly so: it seldom ends
        assert "samples.jsonl" in read_json(folder / "manifest.json")["outputs"]
        names = {name for line in (folder / "timings.jsonl").read_text().splitlines() for name in json.loads(line)}
        for phase in ("generate", "score", "update"):
            assert {f"time/{phase}_seconds", f"memory/{phase}_gib"} <= names
        assert {"throughput/tokens_per_second", "throughput/generated_tokens_per_second"} <= names


def test_reward_model_whose_template_was_changed_is_refused(copy: Path) -> None:
    template = copy / "run/stages/scorer/model/chat_template.jinja"
    template.write_text(template.read_text().replace("'assistant\\n'", "'assistant: '").replace("\\n", "\\n\\n"))
    with pytest.raises(
        ModelError, match=r"would be given other text than it was trained on: .* run with --from scorer"
    ):
        run(copy, "rloo", "stages.rloo.steps=2")


def test_reward_model_with_two_labels_is_refused(copy: Path) -> None:
    config = copy / "run/stages/scorer/model/config.json"
    labels = {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}
    config.write_text(json.dumps(json.loads(config.read_text()) | labels))
    with pytest.raises(ModelError, match=r"this classifier has 2 labels; a reward model has exactly one"):
        run(copy, "rloo", "stages.rloo.steps=2")


def test_reward_model_of_another_tokenizer_pays_and_cannot_start_the_value_model(copy: Path) -> None:
    other = """\
  other:
    {kind: pretrain, data: docs.txt, vocabulary_size: 290, context_length: 96, hidden_size: 16, intermediate_size: 32,
     layers: 1, heads: 2, sequence_length: 16, steps: 8, batch_size: 8, chat_template: llama3}
  other_demo: {kind: sft, start: other, data: demonstrations.jsonl, steps: 8, batch_size: 8, learning_rate: 5e-3}
  other_scorer: {kind: reward_model, start: other_demo, data: pairs, batch_size: 8, learning_rate: 1e-3}
  ppo:
"""
    settings = [f"stages.{stage}.reward=other_scorer" for stage in ("ppo", "rloo")]
    pipeline = tiny.load(copy / "data", *settings, text=tiny.TEXT.replace("  ppo:\n", other))
    for stage in ("other", "other_demo", "other_scorer", "rloo"):
        run_pipeline(pipeline, copy / "run", only=stage, say=lambda line: None)
    assert read_json(copy / "run/stages/rloo/result.json")["reward_deviation"] > 0
    with pytest.raises(ModelError, match=r"tokenizer is not the policy's, .* Set `value_start: policy`"):
        run_pipeline(pipeline, copy / "run", only="ppo", say=lambda line: None)


def test_prompt_without_an_answer_is_refused_before_any_model_is_trained(copy: Path) -> None:
    with pytest.raises(DataError, match=r"prompt 'prompts0': \"expect\" is .* the answer reward needs"):
        run(copy, "rloo", "stages.rloo.reward={kind: answer}")
    assert not (copy / "run/stages/rloo.partial/checkpoint.pt").exists()


def service(server: ScoreServer, patience: float = 0.0) -> str:
    return SERVICE.format(url=server.url, patience=patience)


@pytest.mark.parametrize("stage", ["ppo", "rloo"])
def test_stage_pauses_where_the_service_dies_and_goes_on_to_the_same_bits(
    stage: str, copy: Path, server: ScoreServer
) -> None:
    # Less often saved than a stage has steps: without a checkpoint of its own a pause would begin anew.
    settings = [f"stages.{stage}.reward={service(server)}", f"stages.{stage}.checkpoint_every=100"]
    if stage == "ppo":
        settings.append("stages.ppo.value_start=policy")
    place = copy / "run/stages" / stage
    result = run(copy, stage, *settings)
    assert result["reward_service_models"] == {server.url: "a" * 64}
    whole, requests = tiny.artifacts(place), len(server.requests)
    shutil.rmtree(place)

    server.requests.clear()
    server.breaks_after = requests - 2  # in the last step
    with pytest.raises(ServiceError, match=r"the reward service is out of reach .* Nothing is lost") as paused:
        run(copy, stage, *settings)
    assert told(paused.value) == [f"service error: {paused.value}"]  # exit code 2, no traceback
    partial = place.with_name(f"{stage}.partial")
    assert torch.load(partial / "checkpoint.pt", weights_only=True)["next_step"] == 3
    with pytest.raises(ServiceError, match=r"out of reach"):  # still away: what was saved stays
        run(copy, stage, *settings)
    assert torch.load(partial / "checkpoint.pt", weights_only=True)["next_step"] == 3

    server.requests.clear()
    server.breaks_after = None
    server.start()
    run(copy, stage, *settings)
    assert len(server.requests) < requests  # three of four steps were not asked for again
    assert tiny.artifacts(place) == whole


def test_score_of_a_service_that_is_no_number_names_step_and_prompts(copy: Path, server: ScoreServer) -> None:
    server.rule = lambda request: [float("nan")] * len(request["responses"]) if len(server.requests) > 9 else [
        float(len(text)) for text in request["responses"]
    ]  # fmt: skip
    with pytest.raises(
        TrainingError, match=r"step \d: the reward of \d of 8 responses is not finite \(prompts prompts"
    ):
        run(copy, "rloo", f"stages.rloo.reward={service(server)}")


def test_service_that_changes_its_model_in_mid_run_is_refused(copy: Path, server: ScoreServer) -> None:
    def rule(request: dict[str, Any]) -> list[float]:
        server.model_hash = "b" * 64 if len(server.requests) > 9 else "a" * 64
        return [float(len(text)) for text in request["responses"]]

    server.rule = rule
    with pytest.raises(ServiceError, match=r"now answers with the model b{12}, and did with a{12} before"):
        run(copy, "rloo", f"stages.rloo.reward={service(server)}")


def test_patience_may_change_while_a_stage_is_paused(copy: Path, server: ScoreServer) -> None:
    server.breaks_after = 9
    with pytest.raises(ServiceError):
        run(copy, "rloo", f"stages.rloo.reward={service(server)}")
    server.breaks_after = None
    server.start()
    assert run(copy, "rloo", f"stages.rloo.reward={service(server, patience=5.0)}")["steps"] == 4
