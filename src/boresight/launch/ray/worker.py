"""What an actor does for the trainer: write responses, score them, or say how likely the reference finds them.

An actor holds nothing that cannot be had again: every question names the stage, the folder of the model and, for the
policy, its weights. One that Ray has started anew answers the question that killed it like any other.
"""

import os
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

import ray
import torch
from torch import Tensor

from boresight.models.generate import Generation, generate
from boresight.models.loading import default_device
from boresight.models.precision import arithmetic
from boresight.models.response_logps import ResponseLogps
from boresight.models.roles import FrozenPolicy, RewardModel, build_frozen_policy, build_reward_model
from boresight.records import Messages


class Source(NamedTuple):
    """A model in a folder that all nodes see; `template` is None for a reward model. Those of one `stage` are kept."""

    stage: str
    path: str
    template: str | None


class Weights(NamedTuple):
    """A version of the trained parameters. `held` is in a list, so that Ray hands on the reference, not the tensors."""

    version: int
    held: list[Any]


class RoleWorker:
    """One process for frozen models and for copies of the policy; `dtype` and `threads` are those of the pipeline."""

    def __init__(self, dtype: str, threads: int | None) -> None:
        if threads:
            torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        self._dtype = dtype
        self._device = default_device()
        self._stage = ""
        self._models: dict[Source, FrozenPolicy | RewardModel] = {}
        self._versions: dict[Source, int] = {}

    def where(self) -> tuple[int, str]:
        """Process and machine."""
        return os.getpid(), socket.gethostname()

    def generate(
        self, source: Source, weights: Weights | None, prompts: Sequence[Sequence[int]], state: Tensor, skip: int,
        options: dict[str, Any],
    ) -> tuple[int, list[Generation]]:  # fmt: skip
        """Responses to a part of a batch, by the policy that has these weights (None: those of the folder), and their
        version. Of the random numbers of the generator in `state` (bytes,) the first `skip` are those of the part
        before."""
        model = self._policy(source).model
        version = 0 if weights is None else self._load(source, weights)
        generator = torch.Generator()
        generator.set_state(state)
        torch.rand(skip, generator=generator)
        with arithmetic(self._dtype, self._device):
            return version, generate(model, prompts, generator=generator, **options)

    def logps(self, source: Source, ids: Tensor, mask: Tensor, options: dict[str, Any]) -> ResponseLogps:
        """Response log-probabilities of (rows, tokens) by a frozen policy, on the CPU."""
        with arithmetic(self._dtype, self._device):
            found = self._policy(source).logps(ids.to(self._device), mask.to(self._device), **options)
        return ResponseLogps(*(None if grid is None else grid.cpu() for grid in found))  # type: ignore[arg-type]

    def score(self, source: Source, prompts: Sequence[Messages], responses: Sequence[str], batch_size: int) -> Tensor:
        """(responses,) scores of a reward model."""
        reward = self._model(source)
        assert isinstance(reward, RewardModel)
        with arithmetic(self._dtype, self._device):
            return reward.score(prompts, responses, batch_size)

    def fingerprint(self, source: Source) -> str:
        """Of the weights as they are here now."""
        return self._model(source).fingerprint()

    def _policy(self, source: Source) -> FrozenPolicy:
        found = self._model(source)
        assert isinstance(found, FrozenPolicy)
        return found

    def _model(self, source: Source) -> FrozenPolicy | RewardModel:
        if source.stage != self._stage:
            self._models.clear()
            self._versions.clear()
            self._stage = source.stage
        if source not in self._models:
            self._models[source] = (
                build_reward_model(source.path, self._device)
                if source.template is None
                else build_frozen_policy(source.path, source.template, self._device)
            )
        return self._models[source]

    @torch.no_grad()
    def _load(self, source: Source, weights: Weights) -> int:
        """Put a version of the weights in place, unless it is there; it must have every parameter and no other."""
        if self._versions.get(source) != weights.version:
            own = dict(self._policy(source).model.named_parameters())
            (sent,) = ray.get(weights.held)
            if set(sent) != set(own):
                raise ValueError(f"{len(sent)} parameters were sent for a model of {len(own)}, with other names")
            for name, value in sent.items():
                own[name].copy_(value)
            self._versions[source] = weights.version
        return weights.version
