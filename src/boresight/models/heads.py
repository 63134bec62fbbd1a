"""A scalar for each token: the value head."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from boresight.models.hidden_states import hidden_states


class ScalarHeadModel(nn.Module):
    """A transformer body with one linear output for each token."""

    def __init__(self, body: PreTrainedModel, head: nn.Linear) -> None:
        super().__init__()
        self.body = body
        self.head = head

    @classmethod
    def from_reward_model(cls, model: PreTrainedModel, reward_head: nn.Linear, mean: float, deviation: float) -> Any:
        """Body and head of a reward model, so scaled that the output is the normalised score (r - mean) / deviation."""
        return cls(model.base_model, normalised_head(reward_head, mean, deviation))

    @classmethod
    def from_language_model(cls, model: PreTrainedModel) -> Any:
        """Body of a language model and a head of zeros: every value starts at 0 (Ziegler et al. 2019)."""
        return cls(model.base_model, zero_head(states_size(model), model.dtype))

    def forward(self, input_ids: Tensor, wanted: Tensor) -> Tensor:
        """Right-padded token ids and bool places, both (rows, tokens) -> (wanted places in row order,) float32."""
        return scalars(self.head, hidden_states(self.body, input_ids, wanted))


def scalars(head: nn.Linear, states: Tensor) -> Tensor:
    """(places, hidden size) -> (places,) float32. Not in lowered arithmetic: one number a token costs nothing, and in
    bfloat16 a value or a score would have three digits."""
    with torch.autocast(states.device.type, enabled=False):
        read: Tensor = head(states.to(head.weight.dtype)).squeeze(-1)
    return read.float()


def states_size(model: PreTrainedModel) -> int:
    """Width of the states that a language model's head reads: some are projected to another than the body's own."""
    head = model.get_output_embeddings()
    return int(model.config.get_text_config().hidden_size if head is None else head.weight.shape[1])


def zero_head(hidden_size: int, dtype: torch.dtype = torch.float32) -> nn.Linear:
    """A head that says 0 of everything."""
    head = nn.Linear(hidden_size, 1, dtype=dtype)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


@torch.no_grad()
def normalised_head(reward_head: nn.Linear, mean: float, deviation: float) -> nn.Linear:
    """A head that says (r - mean) / deviation where a reward model's head says r."""
    head = nn.Linear(reward_head.in_features, 1, dtype=reward_head.weight.dtype, device=reward_head.weight.device)
    head.weight.copy_(reward_head.weight / deviation)
    bias = 0.0 if reward_head.bias is None else reward_head.bias.item()
    head.bias.fill_((bias - mean) / deviation)
    return head
