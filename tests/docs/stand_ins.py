"""Small things in the place of large ones, for commands that would take minutes: a pipeline for several processes, a
stage with a fault to cure, a processor that is measured on a model of hardly any size."""

import shutil
from pathlib import Path

import pytest

from boresight.config.load import load_pipeline
from boresight.pipeline import calibrate
from boresight.pipeline.run import run_pipeline

LAUNCHED = """\
run: {name: launched, seed: 3, threads: 1}
model: {path: models/base}
stages:
  dpo: {kind: dpo, policy: base_model, reference: base_model, data: pairs.jsonl, batch_size: 24}
"""
"""A stage that several processes share."""

ROLES = """\
run: {name: roles, seed: 3, threads: 1}
model: {path: models/base}
stages:
  scorer: {kind: reward_model, start: base_model, data: pairs.jsonl, batch_size: 24, epochs: 1}
  ppo:
    {kind: ppo, policy: base_model, reference: base_model, reward: scorer, prompts: prompts.jsonl, steps: 2,
     prompts_per_step: 4, responses_per_prompt: 2, max_new_tokens: 6, missing_stop_penalty: null}
"""
"""A stage with all roles, and the reward model that it needs."""

FAULT = {
    "learning_rate": 0.3, "schedule": "constant", "steps": 12, "kl_coefficient": 0, "on_finding": "note",
    "ppo_epochs": 1, "prompts_per_step": 2, "max_new_tokens": 4,
}  # fmt: skip
"""Of a ppo stage: it loses its policy, and the doctor knows a cure."""


def launched_folder(folder: Path, world: Path, text: str) -> Path:
    """Where a launcher finds the pipeline and what it names, always the same and nothing of it built."""
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(text)
    shutil.copytree(world / "models/base", folder / "models/base")
    for name in ("pairs.jsonl", "prompts.jsonl"):
        shutil.copy(world / name, folder)
    return folder


def break_stage(stage: Path) -> None:
    """Train the stage of a finished run anew, with FAULT."""
    run = stage.parents[1]
    overrides = [f"stages.{stage.name}.{key}={value}" for key, value in FAULT.items()]
    run_pipeline(load_pipeline(run / "pipeline.yaml", overrides), run, only=stage.name, say=lambda line: None)


def measure_small(patch: pytest.MonkeyPatch) -> None:
    """The measurements of `plan --calibrate`, each on as little as there can be, all in this process."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "layers": 2}
    patch.setattr(calibrate, "SHAPE", sizes)
    patch.setattr(calibrate, "MEMORY_SHAPES", (sizes, sizes | {"layers": 4}))
    patch.setattr(calibrate, "MEMORY_STEPS", 1)
    patch.setattr(calibrate, "PRODUCTS", ((64, 64, 64),))
    patch.setattr(calibrate, "MATRIX", 64)
    patch.setattr(calibrate, "PROMPT", 16)
    patch.setattr(calibrate, "RESPONSE", 16)
    patch.setattr(calibrate, "_apart", calibrate._peak_beside)  # a process of its own is there to be weighed alone
