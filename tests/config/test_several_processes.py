from pathlib import Path

import pytest

from boresight.config.load import load_pipeline
from boresight.config.several_processes import for_one_process, refuse_what_is_for_one
from boresight.errors import ConfigError

SETTINGS = (
    "stages.dpo.gradient_noise_scale=true", "stages.dpo.micro_batch_size=2", "stages.scorer.early_stopping_patience=2",
    "stages.ppo.offload=[reference]", "stages.ppo.roles=separate",
)  # fmt: skip


def test_settings_for_one_process_are_refused_all_at_once(whole: Path) -> None:
    pipeline = load_pipeline(whole, SETTINGS)
    with pytest.raises(ConfigError) as refused:
        refuse_what_is_for_one(pipeline, 2)
    dpo, ppo, scorer = sorted(refused.value.problems)
    assert "stages.dpo.gradient_noise_scale: True is for one process, and 2 are to share the stage" in dpo
    assert "stages.ppo.offload: ['reference'] is for one process" in ppo
    assert "stages.scorer.early_stopping_patience: 2 is for one process" in scorer


def test_one_process_and_a_stage_without_such_settings_are_not_refused(whole: Path) -> None:
    pipeline = load_pipeline(whole, SETTINGS)
    refuse_what_is_for_one(pipeline, 1)
    refuse_what_is_for_one(pipeline, 2, "demo")
    assert for_one_process(pipeline, 1) == for_one_process(pipeline, 2, "demo") == {}
