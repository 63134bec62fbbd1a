"""Sampling with log-probabilities from any causal language model.

Each response draws from its own row of uniform numbers (inverse transform sampling), so that neither the slot it is
written in nor the order of the prompts decides what it says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from boresight.errors import DataError
from boresight.models.cached_decoding import way_of_decoding
from boresight.models.decoder import Decoder, decodes
from boresight.models.decoding_weights import decoding_weights
from boresight.models.loading import context_length
from boresight.models.sampling import Request, ends_at


@dataclass(frozen=True, slots=True)
class Generation:
    """One response: `token_ids` ends with the stop token, or the token that completes a stop string, where `stopped`;
    `logps` are taken at the temperature."""

    token_ids: list[int]
    logps: list[float]
    stopped: bool
    version: int = 0
    """Steps that the weights which wrote it had been trained."""


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    temperatures: Sequence[float],
    max_new_tokens: int | Sequence[int],
    stop_token_ids: Sequence[int],
    generator: torch.Generator | Tensor,
    batch_size: int,
    stop_strings: Sequence[str] = (),
    tokenizer: PreTrainedTokenizerBase | None = None,
    on_finished: Callable[[int], None] = lambda count: None,
) -> list[Generation]:
    """One response to each prompt (token ids), in the order given.

    `temperatures` has one value a prompt, 0 is greedy; `max_new_tokens` is one limit for all or one for each. Responses
    are written `batch_size` at a time, short prompts first, and equal prompts are computed once. `on_finished` is told
    how many more are done. In place of the generator its numbers may be given, (prompts, longest limit) as of `draws`.
    Raises DataError where a prompt is empty or leaves no room for the response.
    """
    limits = [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else list(max_new_tokens)
    _check_room(model, prompts, limits)
    uniforms = draws(limits, generator)
    requests = [
        Request(tuple(prompt), temperature, row, limit)
        for prompt, temperature, row, limit in zip(prompts, temperatures, uniforms, limits, strict=True)
    ]
    first_met = {request.prompt: number for number, request in reversed(list(enumerate(requests)))}
    order = sorted(requests, key=lambda request: (len(request.prompt), first_met[request.prompt]))
    ends = ends_at(stop_token_ids, stop_strings, tokenizer)
    write = None if decodes(model) else way_of_decoding(model)
    was_training = model.training
    model.eval()
    try:
        with decoding_weights(model):
            if write is None:
                Decoder(model, min(batch_size, len(order))).run(order, ends, on_finished)
            else:
                for start in range(0, len(order), batch_size):
                    batch = order[start : start + batch_size]
                    write(model, batch, ends)
                    on_finished(len(batch))
    finally:
        model.train(was_training)
    return [Generation(request.token_ids, request.logps, request.stopped) for request in requests]


def draws(limits: Sequence[int], generator: torch.Generator | Tensor) -> Tensor:
    """(prompts, longest limit) uniform numbers, a row for each response, on the CPU whatever the model is on; those
    that have been drawn already are given back."""
    if isinstance(generator, Tensor):
        return generator
    return torch.rand(len(limits), max(limits, default=0), generator=generator)


def _check_room(model: PreTrainedModel, prompts: Sequence[Sequence[int]], limits: Sequence[int]) -> None:
    context = context_length(model)
    for number, (prompt, limit) in enumerate(zip(prompts, limits, strict=True)):
        if not prompt:
            raise DataError(
                f"prompt {number + 1} of {len(prompts)} has no token; a response needs something to follow"
                ". Take it out, or write something into it."
            )
        if context is not None and len(prompt) + limit > context:
            raise DataError(
                f"prompt {number + 1} of {len(prompts)} has {len(prompt)} tokens; with max_new_tokens = {limit} that "
                f"is longer than the model's context of {context}. Shorten the prompt, lower max_new_tokens, or use a "
                "model with a longer context."
            )
