"""A stage that runs out of memory says what it needs and what spares it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.errors import TrainingError
from boresight.pipeline import run as module
from boresight.pipeline.out_of_memory import memory_told
from boresight.pipeline.run import run_pipeline

from . import tiny_pipeline as tiny


def greedy(context: Any, config: Any) -> dict[str, Any]:
    torch.empty(1 << 60)  # an exabyte: refused by the allocator itself
    return {}


def test_the_allocators_refusal_becomes_numbers_and_advice(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = tiny.load(built / "data")
    run_pipeline(pipeline, tmp_path / "run", only="base", say=lambda line: None)
    monkeypatch.setitem(module.STAGES, "sft", greedy)
    with pytest.raises(TrainingError) as told:
        run_pipeline(pipeline, tmp_path / "run", only="demo", say=lambda line: None)
    text = str(told.value)
    assert text.startswith("stage demo: out of memory (")
    for part in ("GiB for weights", "this machine has", "micro_batch_tokens (now", "activation_checkpointing", "lora"):
        assert part in text


def test_other_errors_stay_what_they_are(built: Path) -> None:
    pipeline = tiny.load(built / "data")
    with pytest.raises(RuntimeError, match="sizes differ"), memory_told(pipeline, "demo"):
        raise RuntimeError("sizes differ")
