"""Early stopping: end a run that gets no better on held-out data, and bring back the weights of its best look."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class EarlyStopping:
    """Stops after `patience` looks in a row without a new lowest value (Prechelt 1998, the criterion UP).

    Its state, the best weights included, is part of the checkpoint, so that a resumed run stops where one that was
    never interrupted does, with the same weights. It takes the memory of one more copy of the weights, on the CPU.
    """

    def __init__(self, model: nn.Module, patience: int) -> None:
        self._model = model
        self._patience = patience
        self._weights: dict[str, Tensor] = {}
        self._looks_since_best = 0
        self.best_value = math.inf
        self.best_step = -1

    @property
    def stopped(self) -> bool:
        return self._looks_since_best >= self._patience

    def look(self, step: int, value: float) -> None:
        """Take note of a held-out value, the lower the better; of equal values the earlier is the better one."""
        if value < self.best_value:
            self.best_value, self.best_step, self._looks_since_best = value, step, 0
            self._weights = {name: tensor.to("cpu", copy=True) for name, tensor in self._model.state_dict().items()}
        else:
            self._looks_since_best += 1

    def restore_best(self) -> None:
        """Give the model the weights of the best look; without any look it keeps its own."""
        if self._weights:
            self._model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {
            "weights": self._weights,
            "looks_since_best": self._looks_since_best,
            "best_value": self.best_value,
            "best_step": self.best_step,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._weights = state["weights"]
        self._looks_since_best = state["looks_since_best"]
        self.best_value, self.best_step = state["best_value"], state["best_step"]
