"""What an actor does for the trainer: write responses, score them, or say how likely the reference finds them.

An actor holds nothing that cannot be had again: every question names the stage, the folder of the model and, for the
policy, its weights. One that Ray has started anew answers the question that killed it like any other.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import ray
import torch
from torch import Tensor, nn

from boresight.config.sections import LoRASection
from boresight.launch.ray.whereabouts import Located
from boresight.models.generate import Generation
from boresight.models.loading import default_device
from boresight.models.precision import arithmetic
from boresight.models.response_logps import ResponseLogps
from boresight.models.roles import FrozenPolicy, RewardModel, build_policy, build_reward_model
from boresight.records import Messages


class Source(NamedTuple):
    """A model in a folder that all nodes see; `template` is None for a reward model. Those of one `stage` are kept."""

    stage: str
    path: str
    template: str | None
    lora: str | None = None
    """Settings of the adapter in it whose weights are sent, as JSON."""


class Weights(NamedTuple):
    """A version of the trained parameters, by the count of its `sender`, of which each start of a trainer is another.
    `held` is in a list, so that Ray hands on the reference, not the tensors."""

    version: int
    sender: str
    held: list[Any]


class RoleWorker(Located):
    """One process for frozen models and for copies of the policy; `dtype` and `threads` are those of the pipeline."""

    def __init__(self, dtype: str, threads: int | None) -> None:
        if threads:
            torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        self._dtype = dtype
        self._device = default_device()
        self._stage = ""
        self._models: dict[Source, FrozenPolicy | RewardModel] = {}
        self._sent: dict[Source, nn.Module] = {}  # the parameters that weights are sent for
        self._versions: dict[Source, tuple[str, int]] = {}

    def generate(
        self, source: Source, weights: Weights | None, prompts: Sequence[Sequence[int]], uniforms: Tensor,
        options: dict[str, Any],
    ) -> list[Generation]:  # fmt: skip
        """Responses to a part of a batch, from its random numbers (rows, tokens), by the policy that has these weights
        (None: those of the folder), which they name."""
        policy = self._policy(source)
        if weights is not None:
            self._load(source, weights)
        _, version = self._versions.get(source, ("", 0))
        with arithmetic(self._dtype, self._device):
            written = policy.generate(prompts, generator=uniforms, tokenizer=policy.tokenizer, **options)
        return [replace(one, version=version) for one in written]

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
            for kept in (self._models, self._sent, self._versions):
                kept.clear()
            self._stage = source.stage
        if source not in self._models:
            self._models[source] = self._built(source)
        return self._models[source]

    def _built(self, source: Source) -> FrozenPolicy | RewardModel:
        if source.template is None:
            return build_reward_model(source.path, self._device)
        lora = None if source.lora is None else LoRASection.model_validate_json(source.lora)
        policy = build_policy(source.path, source.template, self._device, lora=lora)
        self._sent[source] = policy.trained
        return FrozenPolicy(policy.model, policy.tokenizer, policy.chat)

    @torch.no_grad()
    def _load(self, source: Source, weights: Weights) -> None:
        """Put a version of the weights in place, unless it is there; it must have every parameter and no other."""
        if self._versions.get(source) == (weights.sender, weights.version):
            return
        own = dict(self._sent[source].named_parameters())
        (sent,) = ray.get(weights.held)
        if set(sent) != set(own):
            raise ValueError(f"{len(sent)} parameters were sent for a model of {len(own)}, with other names")
        for name, value in sent.items():
            own[name].copy_(value)
        self._versions[source] = weights.sender, weights.version
