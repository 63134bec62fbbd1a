"""Where the roles of PPO and RLOO lie, as a pipeline decides it, and what comes of it."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from boresight.config.pipeline import Pipeline
from boresight.models.loading import load_causal_lm
from boresight.models.roles import fingerprint
from boresight.pipeline.check_lineage import adapter_base, shared_base
from boresight.pipeline.run import run_pipeline
from boresight.runlog.reader import read_metrics
from boresight.storage import read_json

from . import tiny_pipeline as tiny

LORA = {name: f"stages.{name}.lora.rank=2" for name in ("demo", "scorer", "ppo", "rloo", "dpo")}


@pytest.fixture(scope="module")
def scored(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run up to a reward model that is an adapter of `demo`."""
    folder = tmp_path_factory.mktemp("scored")
    shutil.copytree(built / "run", folder / "run")
    pipeline = tiny.load(built / "data", LORA["scorer"])
    run_pipeline(pipeline, folder / "run", only="scorer", say=lambda line: None)
    return folder / "run"


def build(run: Path, folder: Path, pipeline: Pipeline, *stages: str) -> tuple[Path, list[str]]:
    """Build some stages in a copy of a run; the copy, and what was said."""
    said: list[str] = []
    shutil.copytree(run, folder / "run")
    for stage in stages:
        run_pipeline(pipeline, folder / "run", only=stage, say=said.append)
    return folder / "run/stages", said


def result(stages: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(stages / name / "result.json")
    return found


@pytest.mark.parametrize("name", ["ppo", "rloo"])
def test_with_adapters_the_roles_share_a_base_by_themselves_and_the_result_says_so(
    name: str, scored: Path, built: Path, tmp_path: Path
) -> None:
    pipeline = tiny.load(built / "data", LORA["scorer"], LORA[name])
    stages, said = build(scored, tmp_path, pipeline, name)
    found = result(stages, name)
    assert found["roles"] == {"layout": "shared", "reward model scorer": "the adapter of scorer on demo"}
    assert found["reference_unchanged"]
    assert any("roles: reward model scorer: the adapter of scorer on demo" in line for line in said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is about to change
        loaded = PeftModel.from_pretrained(load_causal_lm(stages / "demo/model"), stages / name / "adapter")
    assert fingerprint(loaded.merge_and_unload()) == fingerprint(load_causal_lm(stages / name / "model"))


def test_shared_roles_score_and_learn_as_separate_ones_at_first(scored: Path, built: Path, tmp_path: Path) -> None:
    """The first step's rollout, scores and distances are those of four models; from then on rounding may decide."""
    first = {}
    for layout in ("shared", "separate"):
        pipeline = tiny.load(built / "data", LORA["scorer"], LORA["ppo"], f"stages.ppo.roles={layout}")
        stages, _ = build(scored, tmp_path / layout, pipeline, "ppo")
        table = read_metrics(stages / "ppo/metrics.jsonl")
        first[layout] = {name: table.series(name)[0][1] for name in table.names}
        assert result(stages, "ppo")["roles"]["layout"] == layout
    assert first["shared"].keys() == first["separate"].keys()
    for key in ("reward/score", "reward/shaped", "policy/entropy", "value/explained_variance", "advantage/deviation"):
        assert first["shared"][key] == pytest.approx(first["separate"][key], rel=1e-3, abs=1e-4), key
    assert first["shared"]["policy/kl_to_reference"] == 0.0


def test_a_value_model_from_the_policy_begins_at_zero_beside_a_reward_model_on_the_base(
    scored: Path, built: Path, tmp_path: Path
) -> None:
    """Values of zero explain nothing of what is to come; those of the reward model explain or mislead."""
    explained = {}
    for start in ("policy", "reward"):
        pipeline = tiny.load(built / "data", LORA["scorer"], LORA["ppo"], f"stages.ppo.value_start={start}")
        stages, _ = build(scored, tmp_path / start, pipeline, "ppo")
        explained[start] = read_metrics(stages / "ppo/metrics.jsonl").series("value/explained_variance")[0][1]
    assert explained["policy"] == pytest.approx(0.0, abs=1e-6) != explained["reward"]


@pytest.mark.parametrize("changes", [[LORA["ppo"]], []])
def test_one_trunk_with_adapters_or_all_weights(changes: list[str], scored: Path, built: Path, tmp_path: Path) -> None:
    pipeline = tiny.load(built / "data", LORA["scorer"], "stages.ppo.roles=one_trunk", *changes)
    stages, _ = build(scored, tmp_path, pipeline, "ppo")
    found = result(stages, "ppo")
    assert found["roles"]["layout"] == "one_trunk" and found["reference_unchanged"]
    where = "the adapter of scorer on demo" if changes else "a model of its own"
    assert found["roles"]["reward model scorer"] == where
    assert (stages / "ppo/adapter").is_dir() == bool(changes)
    assert fingerprint(load_causal_lm(stages / "ppo/model")) != fingerprint(load_causal_lm(stages / "demo/model"))


def test_a_reward_model_that_is_no_adapter_stays_a_model_of_its_own(built: Path, tmp_path: Path) -> None:
    stages, said = build(built / "run", tmp_path, tiny.load(built / "data", LORA["ppo"]), "ppo")
    where = result(stages, "ppo")["roles"]["reward model scorer"]
    assert where.startswith("a model of its own, since scorer is no adapter of what the policy stands on; the value")
    assert any(where in line for line in said)


def test_a_policy_goes_on_with_its_adapter_where_that_lets_it_share_the_reward_models_base(
    scored: Path, built: Path, tmp_path: Path
) -> None:
    changes = [LORA["scorer"], LORA["dpo"], LORA["ppo"], "stages.ppo.policy=dpo", "stages.ppo.reference=dpo"]
    pipeline = tiny.load(built / "data", *changes)
    stages, said = build(scored, tmp_path, pipeline, "dpo", "ppo")
    found = result(stages, "ppo")
    assert found["roles"]["policy"] == "goes on with the adapter of dpo on demo"
    assert found["roles"]["reward model scorer"] == "the adapter of scorer on demo" and found["reference_unchanged"]
    assert any("reference: dpo, a frozen copy of the adapter that the policy starts from" in line for line in said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        loaded = PeftModel.from_pretrained(load_causal_lm(stages / "demo/model"), stages / "ppo/adapter")
    assert fingerprint(loaded.merge_and_unload()) == fingerprint(load_causal_lm(stages / "ppo/model"))
    assert adapter_base(pipeline, "ppo") == adapter_base(pipeline, "dpo") == "demo"


def test_who_shares_a_base_is_read_off_the_pipeline(built: Path) -> None:
    def base(*changes: str) -> str | None:
        pipeline = tiny.load(built / "data", *changes)
        return shared_base(pipeline, pipeline.stages["ppo"])  # type: ignore[arg-type]

    ppo, scorer, dpo = LORA["ppo"], LORA["scorer"], LORA["dpo"]
    assert base(ppo, scorer) == "demo"
    assert base(ppo) is None and base(scorer) is None
    assert base(ppo, scorer, "stages.ppo.roles=separate") is None
    assert base(ppo, scorer, dpo, "stages.ppo.policy=dpo") == "demo"
    assert base(ppo, scorer, "stages.ppo.policy=dpo") is None  # dpo trained all weights
    assert base(ppo, scorer, "stages.dpo.lora.rank=3", "stages.ppo.policy=dpo") is None  # of another shape
    assert base(ppo, scorer, "stages.scorer.start=base") is None


def test_offload_without_a_gpu_changes_nothing_and_says_so(built: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    pipeline = tiny.load(built / "data", "stages.ppo.offload=[reference, reward]")
    stages, said = build(built / "run", tmp_path, pipeline, "ppo")
    assert any("offload: there is no GPU here" in line for line in said)
    assert (stages / "ppo/metrics.jsonl").read_bytes() == (built / "run/stages/ppo/metrics.jsonl").read_bytes()
