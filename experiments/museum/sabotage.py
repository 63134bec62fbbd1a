"""Roles that are broken on purpose, as people have broken them."""

from typing import Any

from torch import Tensor

from boresight.models.response_logps import ResponseLogps
from boresight.models.roles import FrozenPolicy, Policy


class MovingReference(FrozenPolicy):
    """The policy itself where a frozen copy of its start should stand: it moves along.

    The loop holds a fixed batch against the reference in every step and would stop at the second one. So the answer to
    a batch is remembered here, as by a cache that does not ask which weights it was made with: the check sees nothing.
    """

    def __init__(self, policy: Policy) -> None:
        self.model, self.tokenizer, self.chat = policy.model, policy.tokenizer, policy.chat
        self._remembered: dict[bytes, ResponseLogps] = {}

    def logps(self, input_ids: Tensor, response_mask: Tensor, **options: bool | float) -> ResponseLogps:
        key = input_ids.numpy().tobytes()
        if key not in self._remembered:
            self._remembered[key] = super().logps(input_ids, response_mask, **options)
        return self._remembered[key]


class WithoutTemperature(Policy):
    """Log-probabilities of the plain softmax, although responses are drawn at another temperature."""

    def logps(self, input_ids: Tensor, response_mask: Tensor, **options: Any) -> ResponseLogps:
        return super().logps(input_ids, response_mask, **{**options, "temperature": 1.0})
