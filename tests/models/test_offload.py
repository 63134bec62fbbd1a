"""Frozen roles that wait on the CPU: the same numbers, and back there whatever happened."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from boresight.data.chat_template import ChatFormat
from boresight.models.loading import default_device
from boresight.models.offload import OffloadedPolicy, OffloadedRewardModel, visiting
from boresight.models.roles import FrozenPolicy, RewardModel
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from boresight.records import Message

from .families import CONFIGS
from .test_hidden_states import rows_of

TOKENIZER = tiny_tokenizer()
CHAT = ChatFormat(TOKENIZER)


class Watched(nn.Linear):
    """Notes where it is sent."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.sent: list[Any] = []

    def to(self, *places: Any, **options: Any) -> "Watched":
        self.sent.append(places[0])
        return super().to(*places, **options)


def test_a_model_is_on_the_device_while_it_computes_and_back_after_a_fault() -> None:
    model = Watched()
    with pytest.raises(RuntimeError, match="in the middle"), visiting(model, "cpu"):
        assert model.sent == ["cpu"]
        raise RuntimeError("in the middle")
    assert model.sent == ["cpu", "cpu"]


def test_offloaded_roles_compute_what_they_did() -> None:
    plain = FrozenPolicy(tiny_llama(TOKENIZER), TOKENIZER, CHAT)
    offloaded = OffloadedPolicy(FrozenPolicy(tiny_llama(TOKENIZER), TOKENIZER, CHAT), default_device())
    batch = rows_of(0, prompts=2, responses=2)
    torch.testing.assert_close(offloaded.logps(*batch).logp.cpu(), plain.logps(*batch).logp, atol=1e-4, rtol=0)
    assert next(offloaded.model.parameters()).device.type == "cpu"
    assert offloaded.fingerprint() == plain.fingerprint()


def test_an_offloaded_reward_model_scores_as_before() -> None:
    config = CONFIGS["llama"].from_dict(CONFIGS["llama"].to_dict() | {"num_labels": 1, "vocab_size": len(TOKENIZER)})
    torch.manual_seed(0)
    reward = RewardModel(AutoModelForSequenceClassification.from_config(config), TOKENIZER, CHAT)
    prompts, responses = [(Message("user", "Hello"),)] * 2, ["Hi", "Good day"]
    expected, before = reward.score(prompts, responses), reward.fingerprint()
    offloaded = OffloadedRewardModel(reward, default_device())
    torch.testing.assert_close(offloaded.score(prompts, responses).cpu(), expected, atol=1e-4, rtol=0)
    assert offloaded.fingerprint() == before and next(offloaded.model.parameters()).device.type == "cpu"
