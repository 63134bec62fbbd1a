from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from boresight.runlog.reader import MetricTable, read_metrics
from boresight.training.sft import train_sft

from . import tiny_world as tiny


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Imitator:
    """A tiny model after supervised fine-tuning, and what its training logged."""

    model: PreTrainedModel
    metrics: MetricTable


@pytest.fixture(scope="session")
def imitator(tmp_path_factory: pytest.TempPathFactory) -> Imitator:
    """It answers every prompt with six letters and the stop token, about a quarter of them "a"."""
    folder: Path = tmp_path_factory.mktemp("imitator")
    policy = tiny.policy_of(tiny.fresh_model())
    config = tiny.sft_config(steps=120, batch_size=32, learning_rate=1e-2)
    train_sft(config, policy, tiny.conversations(256), tiny.run_in(folder, checkpoint_every=1000))
    return Imitator(policy.model, read_metrics(folder / "metrics.jsonl"))
