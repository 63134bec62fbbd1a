"""The four roles of alignment. A role's type says whether it is trained: a frozen one holds no trainable parameter,
stays in eval mode and runs without gradient, so it cannot reach an optimizer by accident.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from boresight.config.sections import LoRASection
from boresight.data.batches import PreferenceBatch, pad_rows
from boresight.data.chat_template import ChatFormat
from boresight.data.tokenize import encode_prompt, encode_response
from boresight.errors import DataError, ModelError
from boresight.models.adapters import OWN, Adapter, add_adapter, refuse_new_tokens
from boresight.models.generate import Generation, generate
from boresight.models.heads import ScalarHeadModel, scalars
from boresight.models.hidden_states import hidden_states, slices_at_once
from boresight.models.loading import (
    chat_format,
    context_length,
    end_at_stop_tokens,
    fit_to_tokenizer,
    load_causal_lm,
    load_reward_model,
    load_tokenizer,
    scalar_head,
)
from boresight.models.quantization import quantized_loading
from boresight.models.response_logps import ResponseLogps, left_edge_mask, predicting, response_logps, to_left_edge
from boresight.models.sharding import whole
from boresight.records import Messages

M = TypeVar("M", bound=nn.Module)
POSITION_TABLES = ("wpe", "embed_positions", "position_embeddings")
"""What families of models call their embeddings of absolute positions."""


class Policy:
    """A causal language model that is trained, with the way its conversations are written.

    With an adapter it is that which is trained, inside the model.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        chat: ChatFormat,
        adapter: Adapter | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.chat = chat
        self.adapter = adapter
        self.trained: nn.Module = model if adapter is None else adapter.weights(OWN)
        self.sampler: Callable[..., list[Generation]] | None = None
        """Who writes responses in place of our own decoder."""
        self.begin_elsewhere: Callable[..., Callable[[], list[Generation]]] | None = None
        """Who begins to write them without being waited for."""
        self.version = 0
        """Steps that it has been trained, as its loop says."""

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def logps(self, input_ids: Tensor, response_mask: Tensor, **options: bool | float) -> ResponseLogps:
        """Response log-probabilities of (rows, tokens) with gradient; see `boresight.models.response_logps`."""
        return response_logps(self.model, input_ids, response_mask, **options)  # type: ignore[arg-type]

    def generate(self, prompts: Sequence[Sequence[int]], **options: Any) -> list[Generation]:
        """Sampled responses; see `boresight.models.generate`."""
        if self.sampler is not None:
            return self.sampler(prompts, **options)
        return generate(self.model, prompts, **options)

    def begin(self, prompts: Sequence[Sequence[int]], **options: Any) -> Callable[[], list[Generation]]:
        """What `generate` gives with the weights as they are now, to be had later, each with their version. Who writes
        elsewhere is at it meanwhile; here it is done at once."""
        if self.begin_elsewhere is not None:
            return self.begin_elsewhere(prompts, **options)
        written = [replace(one, version=self.version) for one in self.generate(prompts, **options)]
        return lambda: written

    def parameters(self) -> Iterator[Parameter]:
        return iter(self.model.parameters())


class FrozenPolicy:
    """The anchor of a KL term: the same interface, no gradient, and a fingerprint to prove that it did not move."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, chat: ChatFormat) -> None:
        self.model = freeze(model)
        self.tokenizer = tokenizer
        self.chat = chat

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @torch.no_grad()
    def logps(self, input_ids: Tensor, response_mask: Tensor, **options: bool | float) -> ResponseLogps:
        """Response log-probabilities of (rows, tokens) without gradient."""
        return response_logps(self.model, input_ids, response_mask, **options)  # type: ignore[arg-type]

    def generate(self, prompts: Sequence[Sequence[int]], **options: Any) -> list[Generation]:
        """Sampled responses; see `boresight.models.generate`."""
        return generate(self.model, prompts, **options)

    def fingerprint(self) -> str:
        """SHA-256 over every parameter: equal before and after a run, or the reference has moved."""
        return fingerprint(self.model)


class UnadaptedPolicy(FrozenPolicy):
    """The model under a policy's adapter as its anchor: what the policy started from, without a second copy."""

    def __init__(self, policy: Policy, adapter: Adapter) -> None:
        self.model = policy.model
        self.tokenizer = policy.tokenizer
        self.chat = policy.chat
        self._adapter = adapter

    def logps(self, input_ids: Tensor, response_mask: Tensor, **options: bool | float) -> ResponseLogps:
        """Response log-probabilities of (rows, tokens) with the adapter switched off, without gradient."""
        with self._adapter.off():
            return super().logps(input_ids, response_mask, **options)

    def generate(self, prompts: Sequence[Sequence[int]], **options: Any) -> list[Generation]:
        """Responses sampled with the adapter switched off."""
        with self._adapter.off():
            return super().generate(prompts, **options)

    def fingerprint(self) -> str:
        """That of the same model loaded by itself: the adapter's parameters and its names for layers left out."""
        return digest(self._adapter.parameters_under(None))


class StartingPolicy(FrozenPolicy):
    """A policy before its first update as its own anchor, without a second copy: for what is computed once, then."""

    def __init__(self, policy: Policy) -> None:
        self.model = policy.model
        self.tokenizer = policy.tokenizer
        self.chat = policy.chat

    def logps(self, input_ids: Tensor, response_mask: Tensor, **options: bool | float) -> ResponseLogps:
        """Response log-probabilities of (rows, tokens) in eval mode, without gradient; the policy keeps its mode."""
        was_training = self.model.training
        self.model.eval()
        try:
            return super().logps(input_ids, response_mask, **options)
        finally:
            self.model.train(was_training)


class RewardModel:
    """A frozen Bradley-Terry reward model that scores texts in its own template, read at the stop token."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, chat: ChatFormat) -> None:
        self.model = freeze(model)
        self.head = scalar_head(model)
        self.tokenizer = tokenizer
        self.chat = chat

    @torch.no_grad()
    def score(self, prompts: Sequence[Messages], responses: Sequence[str], batch_size: int = 64) -> Tensor:
        """(responses,) float32 scores of response texts; every text is closed by the template's stop token.

        Raises DataError for a text that has more tokens than the reward model has learnt positions.
        """
        starts = {prompt: encode_prompt(self.chat, prompt) for prompt in dict.fromkeys(prompts)}
        beginnings = [len(starts[prompt]) for prompt in prompts]
        rows = [starts[p] + encode_response(self.chat, p, r) for p, r in zip(prompts, responses, strict=True)]
        self._refuse_long(rows)
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
        scores = torch.zeros(len(rows))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = [rows[i] for i in chosen]
            scores[chosen] = score_rows(self.model, self.head, batch, [beginnings[i] for i in chosen]).cpu()
        return scores

    def fingerprint(self) -> str:
        """As of a frozen policy."""
        return fingerprint(self.model)

    def _refuse_long(self, rows: Sequence[Sequence[int]]) -> None:
        """Rotary positions have no end; a table of learnt ones has, and would be read beyond it."""
        learnt = any(
            isinstance(module, nn.Embedding) and name.rpartition(".")[2] in POSITION_TABLES
            for name, module in self.model.named_modules()
        )
        limit, longest = context_length(self.model), max(map(len, rows), default=0)
        if learnt and limit is not None and longest > limit:
            raise DataError(
                f"{self.chat.name}: a prompt with its response has {longest} tokens of the reward model's tokenizer, "
                f"and it knows {limit} positions. Lower max_new_tokens, take long prompts out, or train a reward model "
                "with a longer context."
            )


class ValueModel:
    """Predicts, before each response token, the reward still to come; trained beside the policy."""

    def __init__(self, model: ScalarHeadModel) -> None:
        self.model = model
        self.trained: nn.Module = model

    @property
    def computing(self) -> tuple[nn.Module, ...]:
        """All whose weights it computes with."""
        return (self.model,)

    def predict(self, input_ids: Tensor, response_mask: Tensor) -> Tensor:
        """(rows, response tokens) values of the states in which the response tokens were chosen, left-aligned."""
        wanted = predicting(response_mask)
        parts = slices_at_once(input_ids, response_mask)
        values = torch.cat([self.model(input_ids[part], wanted[part]) for part in parts])
        return to_left_edge(values, left_edge_mask(response_mask).to(values.device))

    def parameters(self) -> Iterator[Parameter]:
        return iter(self.trained.parameters())


def freeze(model: M) -> M:
    """Eval mode, and no parameter that asks for a gradient."""
    model.eval()
    model.requires_grad_(False)
    return model


def fingerprint(model: nn.Module) -> str:
    """SHA-256 over names and contents of all parameters."""
    return digest(model.named_parameters())


def digest(parameters: Iterable[tuple[str, Parameter]]) -> str:
    """SHA-256 over names and contents, whatever their order."""
    found = hashlib.sha256()
    for name, parameter in sorted(parameters, key=itemgetter(0)):
        found.update(name.encode())
        # Of a copy: memory that numpy has seen cannot be given back, and sharded weights are gathered and given back.
        copied = whole(parameter.detach()).cpu().clone()
        found.update(copied.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def pair_logps(policy: Policy | FrozenPolicy, batch: PreferenceBatch) -> tuple[ResponseLogps, ResponseLogps]:
    """Log-probabilities of chosen and of rejected responses from one forward pass, in which they share prompts."""
    width = max(batch.chosen.input_ids.shape[1], batch.rejected.input_ids.shape[1])
    sides = (batch.chosen, batch.rejected)
    input_ids, response_mask = (
        # A pair's rows stand side by side, so that nothing that cuts a batch comes between them.
        torch.stack([nn.functional.pad(rows, (0, width - rows.shape[1])) for rows in column], dim=1).flatten(0, 1)
        for column in ([side.input_ids for side in sides], [side.response_mask for side in sides])
    )
    both = policy.logps(input_ids, response_mask)
    chosen, rejected = (ResponseLogps(both.logp[side::2], both.mask[side::2], None) for side in (0, 1))
    return chosen, rejected


def score_rows(
    model: PreTrainedModel, head: nn.Linear, rows: Sequence[Sequence[int]], prompt_lengths: Sequence[int]
) -> Tensor:
    """(rows,) float32 scores read at the last token of each row (the stop token), with gradient where enabled.

    The position is the row's own length, never the last token that differs from the pad token: where pad equals the
    stop token that rule reads one token too early. Rows with equal prompts, their first `prompt_length` tokens, share
    the computation of it.
    """
    input_ids, last = pad_rows(rows)
    last &= ~torch.nn.functional.pad(last[:, 1:], (0, 1))
    return scalars(head, hidden_states(model.base_model, input_ids, last, prompt_lengths))


def build_policy(
    path: str | Path,
    template: str,
    device: str = "cpu",
    *,
    lora: LoRASection | None = None,
    quantization: str | None = None,
    seed: int = 0,
) -> Policy:
    """Load a model to be trained; dropout stays as its config says. With `lora` what is trained are adapters in it,
    begun by `seed`; without them `quantization` has no meaning."""
    tokenizer = load_tokenizer(path)
    chat = chat_format(tokenizer, template)
    if lora is None:
        quantization = None
    else:
        refuse_new_tokens(path, tokenizer)
    model = load_causal_lm(path, **quantized_loading(quantization))
    fit_to_tokenizer(model, tokenizer)
    end_at_stop_tokens(model, chat)
    model = (model if quantization else model.to(device)).train()
    adapter = None if lora is None else add_adapter(model, lora, task="CAUSAL_LM", seed=seed)
    return Policy(model, tokenizer, chat, adapter)


def build_frozen_policy(path: str | Path, template: str, device: str = "cpu") -> FrozenPolicy:
    """Load a model that stays as it is."""
    policy = build_policy(path, template, device)
    return FrozenPolicy(policy.model, policy.tokenizer, policy.chat)


def build_reward_model(path: str | Path, device: str = "cpu") -> RewardModel:
    """Load a reward model, which writes conversations in the template that it was saved with."""
    tokenizer = load_tokenizer(path)
    return RewardModel(load_reward_model(path).to(device), tokenizer, chat_format(tokenizer, "tokenizer"))


def build_value_model(
    path: str | Path, *, start: str, policy: Policy, mean: float, deviation: float, device: str = "cpu"
) -> ValueModel:
    """A value model from a reward model (its score scaled to what the policy is paid) or from the policy's weights.

    It reads the policy's token ids, so a reward model must have the policy's vocabulary: ModelError otherwise.
    """
    if start == "policy":
        language_model = load_causal_lm(path)
        fit_to_tokenizer(language_model, policy.tokenizer)
        return ValueModel(ScalarHeadModel.from_language_model(language_model.to(device)))
    refuse_another_vocabulary(path, load_tokenizer(path), policy)
    model = load_reward_model(path).to(device)
    value = ScalarHeadModel.from_reward_model(model, scalar_head(model), mean, deviation)
    return ValueModel(value.to(device))


def refuse_another_vocabulary(path: str | Path, tokenizer: PreTrainedTokenizerBase, policy: Policy) -> None:
    """ModelError where a reward model cannot start a value model, since that reads the policy's token ids."""
    if tokenizer.get_vocab() != policy.tokenizer.get_vocab():
        raise ModelError(
            f"{path}: the reward model's tokenizer is not the policy's, so its weights cannot start the value model. "
            "Set `value_start: policy` in the PPO stage."
        )
