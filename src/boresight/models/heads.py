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
        head = nn.Linear(reward_head.in_features, 1, dtype=reward_head.weight.dtype)
        with torch.no_grad():
            head.weight.copy_(reward_head.weight / deviation)
            bias = 0.0 if reward_head.bias is None else reward_head.bias.item()
            head.bias.fill_((bias - mean) / deviation)
        return cls(model.base_model, head)

    @classmethod
    def from_language_model(cls, model: PreTrainedModel) -> Any:
        """Body of a language model and a head of zeros: every value starts at 0 (Ziegler et al. 2019)."""
        head = nn.Linear(model.config.hidden_size, 1, dtype=model.dtype)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        return cls(model.base_model, head)

    def forward(self, input_ids: Tensor, wanted: Tensor) -> Tensor:
        """Right-padded token ids and bool places, both (rows, tokens) -> (wanted places in row order,) float32."""
        values: Tensor = self.head(hidden_states(self.body, input_ids, wanted)).squeeze(-1)
        return values.float()
