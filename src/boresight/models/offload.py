"""Frozen roles that wait in the memory of the CPU, and are on the GPU only while they compute."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from boresight.models.generate import Generation
from boresight.models.response_logps import ResponseLogps
from boresight.models.roles import FrozenPolicy, RewardModel
from boresight.records import Messages


@contextmanager
def visiting(model: nn.Module, device: str) -> Iterator[None]:
    """Within, the model is on a device; afterwards on the CPU, whatever happened."""
    model.to(device)
    try:
        yield
    finally:
        model.to("cpu")


class OffloadedPolicy(FrozenPolicy):
    """A frozen policy that computes on `device` and waits on the CPU."""

    def __init__(self, policy: FrozenPolicy, device: str) -> None:
        super().__init__(policy.model.to("cpu"), policy.tokenizer, policy.chat)
        self._device = device

    def logps(self, input_ids: Tensor, response_mask: Tensor, **options: bool | float) -> ResponseLogps:
        with visiting(self.model, self._device):
            return super().logps(input_ids, response_mask, **options)

    def generate(self, prompts: Sequence[Sequence[int]], **options: Any) -> list[Generation]:
        with visiting(self.model, self._device):
            return super().generate(prompts, **options)


class OffloadedRewardModel(RewardModel):
    """A reward model that computes on `device` and waits on the CPU."""

    def __init__(self, reward: RewardModel, device: str) -> None:
        super().__init__(reward.model.to("cpu"), reward.tokenizer, reward.chat)
        self._device = device

    def score(self, prompts: Sequence[Messages], responses: Sequence[str], batch_size: int = 64) -> Tensor:
        with visiting(self.model, self._device):
            return super().score(prompts, responses, batch_size)
