"""Which model a stage starts from, back to the base model or the text it was trained on."""

import json
from pathlib import Path
from typing import Any

from boresight.config.pipeline import Pipeline
from boresight.config.references import BASE_MODEL
from boresight.config.reward_sections import reward_models
from boresight.config.sections import PolicyStage, PretrainStage, RewardModelStage, TextStage

TUNED_KINDS = ("sft", "dpo", "orpo", "simpo", "kto", "ppo", "rloo")
"""Stages after which a model knows how to answer. ORPO teaches it by itself: its loss holds the SFT loss."""


def start_of(pipeline: Pipeline, stage: str) -> str | None:
    """What a stage that makes a model starts from: a stage, or `base_model`; None for a stage that starts anew."""
    section = pipeline.stages[stage]
    start = getattr(section, "start", None) or getattr(section, "policy", None)
    return start if isinstance(start, str) else None


def root_of(pipeline: Pipeline, reference: str) -> str:
    """`base_model`, or the pretrain stage at the beginning of a model's line: where its tokenizer comes from."""
    while reference != BASE_MODEL and not isinstance(pipeline.stages[reference], PretrainStage):
        start = start_of(pipeline, reference)
        assert start is not None  # every other kind that makes a model has one
        reference = start
    return reference


def shared_base(pipeline: Pipeline, config: PolicyStage) -> str | None:
    """The stage on whose model both the policy's and a reward model's adapter can stand; None where there is none."""
    if config.layout == "separate" or config.lora is None:
        return None
    rewards = reward_models(config.reward)
    if any(is_adapter_of(pipeline, reward, config.policy, config.quantization) for reward in rewards):
        return config.policy
    before = pipeline.stages.get(config.policy)
    base = adapter_base(pipeline, config.policy)
    goes_on = base is not None and getattr(before, "lora", None) == config.lora and not config.quantization
    if not goes_on or not any(is_adapter_of(pipeline, reward, str(base), None) for reward in rewards):
        return None
    return base


def is_adapter_of(pipeline: Pipeline, reward: str, base: str, quantization: str | None) -> bool:
    """Whether a reward model is an adapter of the model of the stage `base`, in the precision this is loaded in."""
    section = pipeline.stages.get(reward)
    if not isinstance(section, RewardModelStage) or section.lora is None or section.start != base:
        return False
    return quantization in (None, section.quantization)


def adapter_base(pipeline: Pipeline, stage: str) -> str | None:
    """The stage whose model the adapter that a stage saves belongs to; None where it saves none."""
    section = pipeline.stages.get(stage)
    if not isinstance(section, TextStage | PolicyStage) or section.lora is None or section.quantization:
        return None
    if isinstance(section, PolicyStage):
        return shared_base(pipeline, section) or section.policy
    return start_of(pipeline, stage)


def is_fine_tuned(pipeline: Pipeline, reference: str) -> bool | None:
    """Whether a model was taught to answer before; None where only its name is known."""
    while reference != BASE_MODEL:
        if pipeline.stages[reference].kind in TUNED_KINDS:
            return True
        start = start_of(pipeline, reference)
        if start is None:
            return False
        reference = start
    folder = local_model(pipeline)
    return None if folder is None else has_own_template(folder)


def local_model(pipeline: Pipeline) -> Path | None:
    """The folder of the base model; None where there is none or it is a name on a hub."""
    path = pipeline.model_path
    return Path(path) if path is not None and Path(path).is_dir() else None


def has_own_template(folder: Path) -> bool:
    """Whether the tokenizer of a model folder brings a chat template: a base model's has none."""
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    try:
        settings: Any = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # what cannot be read is told when the tokenizer is loaded
    return isinstance(settings, dict) and bool(settings.get("chat_template"))
