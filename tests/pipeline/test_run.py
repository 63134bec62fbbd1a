import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.data.jsonl import read_records, write_records
from boresight.errors import CheckpointError, ConfigError, DataError, TrainingError
from boresight.models.response_logps import ResponseLogps
from boresight.models.roles import FrozenPolicy
from boresight.pipeline import policy_roles, trained_models
from boresight.pipeline.artifacts import RunFolder
from boresight.pipeline.context import identify
from boresight.pipeline.report import write_report
from boresight.pipeline.run import Outcome, run_pipeline, write_summary
from boresight.records import PreferencePair, Response
from boresight.runlog.reader import read_metrics
from boresight.storage import canonical_json, hash_file, hash_text, hash_tree, read_json

from . import tiny_pipeline as tiny

STAGES = (
    "base", "demo", "drafts", "labels", "pairs", "scorer", "ppo", "dpo", "orpo", "simpo", "kto", "rloo", "compare",
    "gate",
)  # fmt: skip


def run(data: Path, out: Path, *overrides: str, text: str = tiny.TEXT, **options: Any) -> Outcome:
    return run_pipeline(tiny.load(data, *overrides, text=text), out, say=lambda line: None, **options)


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A copy of the finished run with its data, to do with as a test likes."""
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy"


# What a run makes


def test_two_runs_in_two_folders_make_equal_files(built: Path, tmp_path: Path) -> None:
    outcome = run(built / "data", tmp_path / "again")
    assert outcome.built == STAGES and outcome.reused == () and outcome.gates.keys() == {"gate"}
    found, expected = tiny.artifacts(tmp_path / "again"), tiny.artifacts(built / "run")
    assert found.keys() == expected.keys() and len(found) > 90
    assert [name for name in expected if found[name] != expected[name]] == []


def test_run_on_a_copy_of_the_data_elsewhere_makes_the_same_stages(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "data", tmp_path / "moved")
    run(tmp_path / "moved", tmp_path / "again", only="base")
    expected = {name: text for name, text in tiny.artifacts(built / "run").items() if name.startswith("stages/base/")}
    assert expected.items() <= tiny.artifacts(tmp_path / "again").items()


def test_every_stage_has_its_files(built: Path) -> None:
    for name in STAGES:
        folder = built / "run" / "stages" / name
        assert {"config.json", "manifest.json", "result.json", "timings.jsonl"} <= {f.name for f in folder.iterdir()}
        assert (folder / "model" / "README.md").exists() == (name in tiny.TRAINED)
        assert (folder / "metrics.jsonl").exists() == (name in tiny.TRAINED)
        assert not {"checkpoint.pt", "identity.json", "chunks"} & {f.name for f in folder.iterdir()}
    assert sorted(f.name for f in (built / "run").iterdir()) == ["cache", "pipeline.yaml", "run.json", "stages"]


def test_manifests_tell_the_truth_about_the_files_and_about_each_other(built: Path) -> None:
    folder = RunFolder(built / "run")
    for name in STAGES:
        written = read_json(folder.stage(name) / "manifest.json")
        for output, sha256 in written["outputs"].items():
            assert hash_file(folder.stage(name) / output) == sha256, (name, output)
        for inputs in written["inputs"].values():
            for one in inputs:
                if "stage" in one:
                    outputs = read_json(folder.stage(one["stage"]) / "manifest.json")["outputs"]
                    assert one["sha256"] == hash_text(canonical_json(outputs)) == folder.output_hash(one["stage"])
                else:
                    assert one["sha256"] == hash_tree(built / "data" / one["path"])
    inputs = read_json(folder.stage("ppo") / "manifest.json")["inputs"]
    assert {field: [one.get("stage", one.get("path")) for one in value] for field, value in inputs.items()} == {
        "policy": ["demo"], "reference": ["demo"], "reward": ["scorer"], "prompts": ["prompts.jsonl"],
    }  # fmt: skip


def test_trained_stages_tell_what_was_expected_of_them_and_what_they_took(built: Path) -> None:
    for name in tiny.TRAINED:
        told = read_metrics(built / "run/stages" / name)
        peak, expected = (told.last(f"memory/{key}", "stage") for key in ("stage_peak_gib", "predicted_peak_gib"))
        before, seconds = told.last("memory/before_gib", "stage"), told.last("time/predicted_seconds", "stage")
        assert peak and expected and before and seconds, name
        assert before <= peak * 1.01 and 0.3 < expected < 1.0, name  # hardly more than a process that trains


def test_the_report_sets_both_beside_each_other(copy: Path) -> None:
    page = write_report(copy / "run").read_text(encoding="utf-8")
    assert 'id="plan"' in page and 'href="#plan"' in page
    section = page.split('id="plan"')[1].split("</section>")[0]
    assert all(f'<b class="model">{name}</b>' in section for name in tiny.TRAINED)


def test_results_say_what_was_done(built: Path) -> None:
    result = {name: read_json(built / "run/stages" / name / "result.json") for name in STAGES}
    assert result["base"]["steps"] == result["demo"]["steps"] == 8 and result["base"]["vocabulary_size"] == 300
    assert (result["drafts"]["prompts"], result["drafts"]["responses"]) == (12, 48)
    labels = read_records(built / "run/stages/labels/pairs.jsonl", PreferencePair)
    assert result["labels"]["pairs"] == len(labels) > 0
    assert result["pairs"]["read"] == {"pairs.jsonl": 45, "labels": len(labels)}
    assert result["pairs"]["train"] + result["pairs"]["held_out"] == result["pairs"]["kept"]
    assert result["scorer"]["certificate"]["held_out"]["n"] == result["pairs"]["held_out"]
    assert result["dpo"]["first_loss"] == pytest.approx(0.6931, abs=1e-3) and result["dpo"]["reference_is_start"]
    assert result["orpo"]["soft_labels_taken_as_hard"] == 0
    assert (result["kto"]["responses"], result["kto"]["desirable"]) == (45, 30) and result["kto"]["weight_ratio"] == 2.0
    assert result["kto"]["first_loss"] == pytest.approx(0.5, abs=1e-4) and result["kto"]["reference_unchanged"]
    assert result["ppo"]["responses"] == 4 * 4 * 2 and result["ppo"]["reference_unchanged"]
    assert set(result["compare"]["models"]) == {"demo", "ppo", "dpo", "orpo", "simpo", "kto", "rloo"}
    assert result["compare"]["prompts"] == 10


def test_first_batch_of_ppo_and_rloo_is_at_the_reference(built: Path) -> None:
    for name in ("ppo", "rloo"):
        table = read_metrics(built / "run/stages" / name / "metrics.jsonl")
        assert table.series("policy/kl_to_reference")[0].value == 0.0
        assert table.series("policy/kl_to_reference")[-1].value != 0.0


def test_chunks_of_responses_are_joined_in_order(built: Path) -> None:
    responses = read_records(built / "run/stages/drafts/responses.jsonl", Response)
    assert [r.id for r in responses] == [f"prompts{p}/demo/{i}" for p in range(12) for i in range(4)]
    assert [r.temperature for r in responses[:4]] == [0.7, 1.0, 0.7, 1.0]
    assert len({r.text for r in responses}) > 40


def test_model_card_names_lineage_and_settings(built: Path) -> None:
    card = (built / "run/stages/ppo/model/README.md").read_text()
    manifest = read_json(built / "run/stages/ppo/manifest.json")
    assert manifest["key"][:16] in card and manifest["inputs"]["reward"][0]["sha256"][:16] in card
    assert '"kl_coefficient": 0.05' in card and str(built) not in card


# Keys


def keys(built: Path, *overrides: str) -> dict[str, str]:
    pipeline = tiny.load(built / "data", *overrides)
    return {name: identify(name, pipeline, RunFolder(built / "run")).key for name in STAGES}


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("stages.ppo.kl_coefficient=0.1", {"ppo"}),
        ("stages.dpo.beta=0.2", {"dpo"}),
        ("stages.base.steps=9", {"base"}),
        ("stages.drafts.temperatures=[1.0]", {"drafts"}),
        ("stages.labels.judge.noise=0.2", {"labels"}),
        ("stages.pairs.filters.duplicates=keep", {"pairs"}),
        ("stages.compare.limit=5", {"compare"}),
        ("stages.gate.min_win_rate=0.9", {"gate"}),
        ("stages.rloo.prompts=held_out.jsonl", {"rloo"}),
        ("stages.ppo.reference=base", {"ppo"}),
        ("stages.demo.checkpoint_every=7", set()),
        ("stages.ppo.checkpoint_every=2", set()),
        ("stages.dpo.activation_checkpointing=true", set()),
        ("run.name=other", set()),
        ("run.seed=4", set(STAGES)),
        ("model.dtype=bfloat16", set(STAGES)),
    ],
)
def test_key_of_a_stage_changes_with_what_decides_it(override: str, changed: set[str], built: Path) -> None:
    before, after = keys(built), keys(built, override)
    assert {name for name in STAGES if before[name] != after[name]} == changed


def test_key_changes_with_the_content_of_a_file_not_with_its_time(copy: Path) -> None:
    before = keys(copy)
    (copy / "data/prompts.jsonl").touch()
    assert keys(copy) == before
    with (copy / "data/prompts.jsonl").open("a") as stream:
        stream.write('{"id": "new", "messages": [{"role": "user", "content": "new"}]}\n')
    after = keys(copy)
    assert {name for name in STAGES if before[name] != after[name]} == {"drafts", "ppo", "rloo"}


# Reuse


def test_finished_run_is_not_built_again(copy: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in (copy / "run/stages").rglob("*")}
    outcome = run(copy / "data", copy / "run")
    assert (outcome.built, outcome.reused) == ((), STAGES)
    assert {file: file.stat().st_mtime_ns for file in (copy / "run/stages").rglob("*")} == before


def test_changed_setting_builds_what_rests_on_it_and_the_old_artifacts_come_back(copy: Path) -> None:
    whole = tiny.artifacts(copy / "run/stages")
    outcome = run(copy / "data", copy / "run", "stages.scorer.epochs=1")
    assert outcome.built == ("scorer", "ppo", "rloo", "compare", "gate")
    assert outcome.reused == ("base", "demo", "drafts", "labels", "pairs", "dpo", "orpo", "simpo", "kto")
    assert len(list((copy / "run/superseded").iterdir())) == 5
    outcome = run(copy / "data", copy / "run")
    assert outcome.built == ()
    assert tiny.artifacts(copy / "run/stages") == whole
    assert len(list((copy / "run/superseded").iterdir())) == 5


def test_only_one_stage_is_built_and_the_rest_left(copy: Path) -> None:
    outcome = run(copy / "data", copy / "run", "stages.dpo.beta=0.2", only="dpo")
    assert (outcome.built, outcome.reused, outcome.gates) == (("dpo",), (), {})


def test_only_tells_what_it_rests_on_that_the_pipeline_has_otherwise_by_now(copy: Path) -> None:
    said: list[str] = []
    pipeline = tiny.load(copy / "data", "stages.base.learning_rate=0.1", "stages.dpo.beta=0.2")
    run_pipeline(pipeline, copy / "run", only="dpo", say=said.append)
    assert said[0].startswith("warning: --only dpo: it rests on base, built with other settings")
    said.clear()
    run_pipeline(tiny.load(copy / "data"), copy / "run", only="dpo", say=said.append)
    assert not [line for line in said if line.startswith("warning")]


def test_only_needs_what_the_stage_rests_on(built: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--only ppo: it needs demo, scorer, which .* does not hold"):
        run(built / "data", tmp_path / "empty", only="ppo")
    assert not (tmp_path / "empty").exists()


def test_from_builds_the_stage_and_all_that_rests_on_it_anew_to_the_same_bits(copy: Path) -> None:
    whole = tiny.artifacts(copy / "run/stages")
    (copy / "run/stages/dpo.partial").mkdir()
    outcome = run(copy / "data", copy / "run", start="dpo")
    assert outcome.built == ("dpo", "compare", "gate")
    assert tiny.artifacts(copy / "run/stages") == whole


def test_only_and_from_that_have_nothing_to_do_with_each_other_are_refused(built: Path) -> None:
    with pytest.raises(ConfigError, match=r"--only scorer: does not rest on dpo \(--from\), so nothing would be built"):
        run(built / "data", built / "run", only="scorer", start="dpo")


@pytest.mark.parametrize("option", ["only", "start"])
def test_unknown_stage_is_named_with_those_there_are(option: str, built: Path, tmp_path: Path) -> None:
    said = "--only" if option == "only" else "--from"
    with pytest.raises(ConfigError, match=rf"{said} pppo: no such stage; the stages are base, demo, drafts"):
        run(built / "data", tmp_path / "x", **{option: "pppo"})


def test_half_finished_stage_of_another_config_is_refused_until_its_folder_is_gone(copy: Path) -> None:
    pipeline = tiny.load(copy / "data", "stages.dpo.beta=0.3", "stages.dpo.learning_rate=0.01")
    runs = RunFolder(copy / "run")
    partial = runs.open(identify("dpo", pipeline, runs))
    with pytest.raises(
        CheckpointError, match=r"dpo\.partial: .*\(beta: 0\.3 -> 0\.2; learning_rate: 0\.01 -> 0\.001\)"
    ):
        run(copy / "data", copy / "run", "stages.dpo.beta=0.2")
    shutil.rmtree(partial)
    assert "dpo" in run(copy / "data", copy / "run", "stages.dpo.beta=0.2", only="dpo").built


def test_summary_names_the_stages_and_their_artifacts(built: Path, copy: Path) -> None:
    summary = read_json(built / "run/run.json")
    assert (summary["name"], summary["seed"]) == ("tiny", 3)
    write_summary(replace(tiny.load(copy / "data"), quick=True), RunFolder(copy / "run"))
    assert read_json(copy / "run/run.json") == {**summary, "quick": True}
    assert [stage["name"] for stage in summary["stages"]] == list(STAGES)
    for stage in summary["stages"]:
        assert stage["key"] == read_json(built / "run/stages" / stage["name"] / "manifest.json")["key"]


def test_resolved_config_finds_everything_built(built: Path, copy: Path) -> None:
    text = (copy / "run/pipeline.yaml").read_text().replace(str(built), str(copy))
    assert run(copy / "data", copy / "run", text=text).built == ()


# What stops a run


class DriftingReference(FrozenPolicy):
    """Moves a weight a little each time it is asked."""

    def logps(self, input_ids: torch.Tensor, response_mask: torch.Tensor, **options: Any) -> ResponseLogps:
        result = super().logps(input_ids, response_mask, **options)
        next(self.model.parameters()).view(-1)[0] += 1e-6
        return result


@pytest.mark.parametrize("stage", ["dpo", "ppo", "rloo"])
def test_reference_that_moves_voids_the_stage(stage: str, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = trained_models.build_frozen_policy

    def drifting(*arguments: Any, **options: Any) -> FrozenPolicy:
        policy = sound(*arguments, **options)
        return DriftingReference(policy.model, policy.tokenizer, policy.chat)

    monkeypatch.setattr(trained_models, "build_frozen_policy", drifting)
    shutil.rmtree(copy / "run/cache")  # a reference that is not asked does not move
    other = ["stages.dpo.reference=base"] if stage == "dpo" else []  # one that is loaded beside the policy
    with pytest.raises(TrainingError, match=r"the reference changed during training \(fingerprint \w{12} before"):
        run(copy / "data", copy / "run", *other, start=stage, only=stage)
    partial = copy / "run/stages" / f"{stage}.partial"
    assert not (partial / "model").exists() and not (partial / "manifest.json").exists()


def test_reward_model_that_moves_voids_the_stage(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = policy_roles.build_reward_model

    def drifting(*arguments: Any, **options: Any) -> Any:
        reward = sound(*arguments, **options)
        score = reward.score

        def moved(*given: Any, **more: Any) -> torch.Tensor:
            with torch.no_grad():
                next(reward.model.parameters()).view(-1)[0] += 1e-6
            return score(*given, **more)

        reward.score = moved
        return reward

    monkeypatch.setattr(policy_roles, "build_reward_model", drifting)
    with pytest.raises(TrainingError, match="the reward model scorer changed during training"):
        run(copy / "data", copy / "run", start="rloo", only="rloo")


def test_data_of_which_nothing_is_left_stops_before_training(copy: Path) -> None:
    overrides = ("stages.dpo.max_length=3", "stages.dpo.on_too_long=drop")
    with pytest.raises(DataError, match=r"stage dpo: no record is left to train on \(left out: \{'too_long': \d+\}"):
        run(copy / "data", copy / "run", *overrides, only="dpo")


@pytest.mark.parametrize("stage", ["ppo", "rloo"])
def test_prompt_without_room_stops_before_training(stage: str, copy: Path) -> None:
    with (copy / "data/prompts.jsonl").open("a") as stream:
        stream.write('{"id": "endless", "messages": [{"role": "user", "content": "%s"}]}\n' % ("x1" * 80))
    with pytest.raises(DataError, match=r"prompt 'endless' has \d+ tokens"):
        run(copy / "data", copy / "run", only=stage)
    assert not (copy / f"run/stages/{stage}.partial/metrics.jsonl").exists()


def test_early_stopping_is_told_and_its_held_out_set_is_marked(copy: Path) -> None:
    overrides = ("stages.scorer.evaluate_every=1", "stages.scorer.early_stopping_patience=1")
    run(copy / "data", copy / "run", *overrides, "stages.scorer.learning_rate=0.1", only="scorer")
    result = read_json(copy / "run/stages/scorer/result.json")
    certificate = result["certificate"]["held_out"]
    assert certificate["decided_early_stopping"] is True
    # The kept weights are what is saved: the certificate, which scores all held-out pairs again, has their loss.
    assert certificate["nll"] == pytest.approx(result["early_stopping"]["best_nll"], abs=1e-5)
    assert result["early_stopping"]["best_step"] == result["steps"] - 2


def test_rankings_and_margins_are_counted(copy: Path) -> None:
    kept = read_records(copy / "run/stages/pairs/pairs.jsonl", PreferencePair)
    pairs = [pair for pair in kept if pair.chosen[0].content and pair.rejected[0].content]
    changed = [replace(pair, ranking_id="r", strength=float(i % 2)) for i, pair in enumerate(pairs)]
    write_records(copy / "data/ranked.jsonl", changed)
    overrides = ("stages.scorer.data=ranked.jsonl", "stages.scorer.rankings=pairwise")
    run(copy / "data", copy / "run", *overrides, "stages.scorer.margin_per_strength=1", only="scorer")
    result = read_json(copy / "run/stages/scorer/result.json")
    assert result["examples"] == len({pair.prompt for pair in pairs}) < result["pairs"] == len(pairs)
    assert result["pairs_with_margin"] == len(pairs) // 2
    assert result["steps"] == 2 * -(-result["examples"] // 8)


@pytest.mark.parametrize("stage", ["scorer", "simpo"])
def test_suggested_batch_is_told_where_it_is_asked_for(stage: str, built: Path, copy: Path) -> None:
    overrides = (f"stages.{stage}.gradient_noise_scale=true", f"stages.{stage}.micro_batch_size=2")
    run(copy / "data", copy / "run", *overrides, only=stage)
    assert read_json(copy / f"run/stages/{stage}/result.json")["suggested_batch_size"] >= 1
    assert "suggested_batch_size" not in read_json(built / f"run/stages/{stage}/result.json")


def test_two_prompts_of_one_id_are_refused(copy: Path) -> None:
    shutil.copyfile(copy / "data/prompts.jsonl", copy / "data/more.jsonl")
    with pytest.raises(DataError, match="stage ppo: two prompts have the id 'prompts0'"):
        run(copy / "data", copy / "run", "stages.ppo.prompts=[prompts.jsonl, more.jsonl]", only="ppo")


def test_gate_that_does_not_hold_is_told(copy: Path) -> None:
    outcome = run(copy / "data", copy / "run", "stages.gate.min_win_rate=1.0")
    assert outcome.built == ("gate",) and outcome.gates == {"gate": False} and not outcome.passed
