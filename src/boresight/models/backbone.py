"""PPO's roles on one frozen base in memory: an adapter for each role that is not the base itself, and scalar heads.

    policy      base + its adapter, trained                       language-model head of the base
    value       base + an adapter, trained, and a scalar head     or a scalar head on the policy's own states
    reward      base + the adapter of its stage, frozen, and the scalar head of its stage
    reference   base + the adapter that the policy started from: none where that was nothing, else a frozen copy

The value model's adapter begins as a copy of the reward model's, or as nothing. A reward model of another base keeps
that base, and a value model that starts from it is an adapter there. A role computes within `Adapter.using`, so that
outside of it a base computes as the role that it was made for, whatever happened inside.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from boresight.config.sections import LoRASection
from boresight.data.chat_template import ChatFormat
from boresight.errors import ModelError
from boresight.models.adapters import OWN, Adapter, add_adapter
from boresight.models.generate import Generation
from boresight.models.heads import ScalarHeadModel, normalised_head, scalars, states_size, zero_head
from boresight.models.hidden_states import hidden_states, slices_at_once
from boresight.models.response_logps import ResponseLogps, left_edge_mask, predicting, to_left_edge
from boresight.models.roles import FrozenPolicy, Policy, RewardModel, UnadaptedPolicy, ValueModel, digest, freeze
from boresight.records import Messages

VALUE, REWARD, REFERENCE = "value", "reward", "reference"


class AdaptedStart(UnadaptedPolicy):
    """The base under a frozen copy of the adapter that the policy started from."""

    def __init__(self, policy: Policy, adapter: Adapter) -> None:
        super().__init__(policy, adapter)
        adapter.add_copy(REFERENCE, OWN, trained=False)

    @torch.no_grad()
    def logps(self, input_ids: Tensor, response_mask: Tensor, **options: bool | float) -> ResponseLogps:
        with self._adapter.using(REFERENCE):
            return FrozenPolicy.logps(self, input_ids, response_mask, **options)

    def generate(self, prompts: Sequence[Sequence[int]], **options: Any) -> list[Generation]:
        with self._adapter.using(REFERENCE):
            return FrozenPolicy.generate(self, prompts, **options)

    def fingerprint(self) -> str:
        return digest(self._adapter.parameters_under(REFERENCE))


class AdaptedRewardModel(RewardModel):
    """A reward model whose body others use as well; its own is that under one of the adapters, or under none."""

    def __init__(
        self,
        model: PreTrainedModel,
        head: nn.Linear,
        tokenizer: PreTrainedTokenizerBase,
        chat: ChatFormat,
        adapter: Adapter,
        name: str | None,
    ) -> None:
        self.model = model
        self.head = freeze(head)
        self.tokenizer = tokenizer
        self.chat = chat
        self.adapter = adapter
        self.name = name

    def score(self, prompts: Sequence[Messages], responses: Sequence[str], batch_size: int = 64) -> Tensor:
        with self.adapter.using(self.name):
            return super().score(prompts, responses, batch_size)

    def fingerprint(self) -> str:
        return digest((*self.adapter.parameters_under(self.name), *self.head.named_parameters("head")))


class AdaptedValueModel(ValueModel):
    """A value model whose body others use as well; its own is that under an adapter, which is trained."""

    def __init__(self, body: PreTrainedModel, head: nn.Linear, adapter: Adapter, name: str) -> None:
        self.model = ScalarHeadModel(body, head)
        self.trained = nn.ModuleDict({"adapter": adapter.weights(name), "head": head})
        self._adapter = adapter
        self._name = name

    def predict(self, input_ids: Tensor, response_mask: Tensor) -> Tensor:
        with self._adapter.using(self._name):
            return super().predict(input_ids, response_mask)


class TrunkValue:
    """Values read off the policy's own states by a second head: one forward pass gives both.

    The head begins at zero, so the policy starts undisturbed; from then on either loss moves the weights of both.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.trained = zero_head(states_size(policy.model)).to(_device(policy))

    @property
    def computing(self) -> tuple[nn.Module, ...]:
        """As of `ValueModel`."""
        return self._policy.model, self.trained

    def logps_and_values(
        self, input_ids: Tensor, response_mask: Tensor, **options: bool | float
    ) -> tuple[ResponseLogps, Tensor]:
        """The policy's log-probabilities of (rows, tokens) and, as `ValueModel.predict`, the values of the states that
        they were taken in, (rows, response tokens); with gradient."""
        now = self._policy.logps(input_ids, response_mask, with_states=True, **options)
        assert now.states is not None
        return now, to_left_edge(scalars(self.trained, now.states), now.mask)

    def predict(self, input_ids: Tensor, response_mask: Tensor) -> Tensor:
        """As `ValueModel.predict`: (rows, tokens) -> (rows, response tokens)."""
        wanted, body = predicting(response_mask), self._policy.model.base_model
        parts = slices_at_once(input_ids, response_mask)
        values = torch.cat([scalars(self.trained, hidden_states(body, input_ids[p], wanted[p])) for p in parts])
        return to_left_edge(values, left_edge_mask(response_mask).to(values.device))


def adapted_reference(policy: Policy, adapter: Adapter) -> FrozenPolicy:
    """The anchor of a policy that is its own reference; to be made before anything is trained or resumed."""
    return UnadaptedPolicy(policy, adapter) if adapter.is_nothing(OWN) else AdaptedStart(policy, adapter)


def adapted_reward_model(
    policy: Policy,
    adapter: Adapter,
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    chat: ChatFormat,
    name: str = REWARD,
) -> AdaptedRewardModel:
    """A reward model on the policy's base from the PEFT folder that its stage wrote, as the adapter `name`.

    Raises ModelError where it belongs to another base.
    """
    others = adapter.add_saved(name, folder)
    heads = [tensor for name, tensor in others.items() if name.endswith(".weight") and tensor.shape[0] == 1]
    if len(heads) != 1:
        raise ModelError(
            f"{folder}: {len(heads)} scalar heads beside the adapters ({', '.join(others) or 'nothing'}); expected "
            "the one of a reward model. Name the adapter of a reward_model stage."
        )
    biases = [tensor for name, tensor in others.items() if name.endswith(".bias")]
    head = nn.Linear(heads[0].shape[1], 1, bias=bool(biases))
    head.load_state_dict({"weight": heads[0]} | ({"bias": biases[0]} if biases else {}))
    return AdaptedRewardModel(policy.model, head.to(_device(policy)), tokenizer, chat, adapter, name)


def with_room_for_a_value_model(reward: RewardModel, settings: LoRASection, seed: int) -> AdaptedRewardModel:
    """A reward model of a base of its own, with an adapter beside it for the value model that starts from it."""
    adapter = add_adapter(reward.model.base_model, settings, task="FEATURE_EXTRACTION", seed=seed)
    return AdaptedRewardModel(reward.model, reward.head, reward.tokenizer, reward.chat, adapter, None)


def value_model_on(reward: AdaptedRewardModel, *, mean: float, deviation: float) -> AdaptedValueModel:
    """A value model that starts from a reward model and shares its base; its score is scaled to what is paid."""
    head, body = normalised_head(reward.head, mean, deviation), reward.model.base_model
    if reward.name is None:
        return AdaptedValueModel(body, head, reward.adapter, OWN)
    reward.adapter.add_copy(VALUE, reward.name, trained=True)
    return AdaptedValueModel(body, head, reward.adapter, VALUE)


def fresh_value_model(policy: Policy, adapter: Adapter, settings: LoRASection, seed: int) -> AdaptedValueModel:
    """A value model that starts from the policy's base and a head of zeros."""
    adapter.add(VALUE, settings, seed=seed)
    head = zero_head(states_size(policy.model)).to(_device(policy))
    return AdaptedValueModel(policy.model.base_model, head, adapter, VALUE)


def _device(policy: Policy) -> torch.device:
    device: torch.device = next(policy.model.parameters()).device
    return device
