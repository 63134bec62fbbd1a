"""Stages that several processes build together, and settings of theirs that are for one process alone."""

from boresight.config.pipeline import Pipeline
from boresight.errors import ConfigError

SHARED_KINDS = ("sft", "reward_model", "ppo", "rloo", "dpo", "orpo", "simpo", "kto")
"""Kinds of stages that several processes build together; the others the first builds, while the rest wait."""
FOR_ONE_PROCESS = ("quantization", "gradient_noise_scale", "early_stopping_patience", "sampler", "offload")
"""Settings of those stages that several processes cannot share yet."""


def for_one_process(pipeline: Pipeline, count: int, only: str | None = None) -> dict[str, str]:
    """What is wrong, by dotted key, with settings that `count` processes are to share: of the stage `only`, or of all
    stages."""
    if count == 1:
        return {}
    return {
        f"stages.{name}.{field}": f"{pipeline.path}: stages.{name}.{field}: {value} is for one process, and {count} "
        "are to share the stage. Take the setting out, or take one process: `boresight run`, or `launch ray` with one "
        "trainer."
        for name, stage in pipeline.stages.items()
        if stage.kind in SHARED_KINDS and only in (None, name)
        for field in FOR_ONE_PROCESS
        if (value := getattr(stage, field, None))
    }


def refuse_what_is_for_one(pipeline: Pipeline, count: int, only: str | None = None) -> None:
    """Raises ConfigError, all faults at once, for settings that `count` processes cannot share."""
    if problems := list(for_one_process(pipeline, count, only).values()):
        raise ConfigError(problems)
