"""Models loaded to be talked to, and reward models to be asked for a score."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from boresight.api.faults import public
from boresight.api.result import Result
from boresight.models.conversation import Conversation
from boresight.models.loading import context_length, default_device
from boresight.models.model_folder import is_classifier, model_folder
from boresight.models.roles import FrozenPolicy, build_frozen_policy, build_reward_model
from boresight.models.roles import RewardModel as RewardRole
from boresight.records import Message
from boresight.tables import Block, Table


class _Loaded(Result):
    """The facts of a model's folder."""

    folder: Path

    def to_dict(self) -> dict[str, Any]:
        """folder, architecture, parameters, vocabulary (tokens), context (tokens, None without a limit), device."""
        model = self._network()
        return {
            "folder": str(self.folder),
            "architecture": type(model).__name__,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "vocabulary": int(model.get_input_embeddings().weight.shape[0]),
            "context": context_length(model),
            "device": str(model.device),
        }

    def blocks(self) -> Sequence[Block]:
        facts = self.to_dict().items()
        rows = [[name, f"{value:,}" if isinstance(value, int) else str(value)] for name, value in facts]
        return [Table(rows, headed=False)]

    @abstractmethod
    def _network(self) -> Any:
        """The module itself."""


@dataclass(frozen=True, repr=False)
class Model(_Loaded):
    """A language model that answers; its weights are not trained by anything here."""

    folder: Path
    policy: FrozenPolicy

    def ask(self, text: str, *, temperature: float = 0.0, max_new_tokens: int = 256, seed: int | None = None) -> str:
        """The reply to one message, written by the model's own chat template; `temperature` 0 is the likeliest.

        Raises DataError where the context has no room for an answer or the message holds a control token.
        """
        if seed is not None:
            torch.manual_seed(seed)
        reply = self.conversation(temperature=temperature, max_new_tokens=max_new_tokens).ask(text, lambda piece: None)
        return reply.text

    def conversation(self, *, temperature: float = 0.7, max_new_tokens: int = 256) -> Conversation:
        """Several turns: `ask(text, show)` calls `show` with each piece of the reply as it comes."""
        return Conversation(self.policy, temperature=temperature, max_new_tokens=max_new_tokens)

    def _network(self) -> Any:
        return self.policy.model


@dataclass(frozen=True, repr=False)
class RewardModel(_Loaded):
    """A reward model; scores are in its own units, and only differences between two responses to one prompt mean
    something: sigmoid(difference) is the probability that the first is preferred (Bradley & Terry 1952)."""

    folder: Path
    role: RewardRole

    def score(self, prompt: str, response: str) -> float:
        """One score; DataError where both together are longer than the model has positions for."""
        return float(self.role.score([(Message("user", prompt),)], [response])[0])

    def _network(self) -> Any:
        return self.role.model


@public
def load_model(path: str | Path, *, device: str | None = None) -> Model | RewardModel:
    """The model of a folder (its own, or RUN/stages/NAME), in float32, on the GPU where there is one.

    A classifier with one label is a reward model. Raises ModelError where there is no model, or none of these.
    """
    folder = model_folder(Path(path))
    place = device or default_device()
    if is_classifier(folder):
        return RewardModel(folder, build_reward_model(folder, place))
    return Model(folder, build_frozen_policy(folder, "tokenizer", device=place))
