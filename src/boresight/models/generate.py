"""Sampling with log-probabilities: a batched decoder with a key-value cache over any causal language model.

Each response draws from its own row of uniform numbers (inverse transform sampling), so that neither the batch it
falls into nor the order of the prompts decides what it says.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from boresight.data.batches import collate_prompts
from boresight.errors import DataError
from boresight.models.loading import context_length


@dataclass(frozen=True, slots=True)
class Generation:
    """One response: `token_ids` ends with the stop token where `stopped`; `logps` are taken at the temperature."""

    token_ids: list[int]
    logps: list[float]
    stopped: bool


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    temperatures: Sequence[float],
    max_new_tokens: int,
    stop_token_ids: Sequence[int],
    generator: torch.Generator,
    batch_size: int,
    on_batch: Callable[[int], None] = lambda done: None,
) -> list[Generation]:
    """One response to each prompt (token ids), in the order given; `temperatures` has one value a prompt, 0 is greedy.

    Prompts are sorted by length, padded on the left and decoded `batch_size` at a time; rows that have stopped leave
    the batch when half of it has. Raises DataError where a prompt leaves no room for the response.
    """
    _check_room(model, prompts, max_new_tokens)
    uniforms = torch.rand(len(prompts), max_new_tokens, generator=generator)  # drawn in prompt order
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    results: list[Generation | None] = [None] * len(prompts)
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = _decode(
                model,
                [prompts[i] for i in rows],
                torch.tensor([temperatures[i] for i in rows]),
                uniforms[rows],
                stop_token_ids,
            )
            for i, generation in zip(rows, batch, strict=True):
                results[i] = generation
            on_batch(len(rows))
    finally:
        model.train(was_training)
    return [generation for generation in results if generation is not None]


def _check_room(model: PreTrainedModel, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
    limit = context_length(model)
    if limit is None:
        return
    for number, prompt in enumerate(prompts):
        if len(prompt) + max_new_tokens > limit:
            raise DataError(
                f"prompt {number + 1} of {len(prompts)} has {len(prompt)} tokens; with max_new_tokens = "
                f"{max_new_tokens} that is longer than the model's context of {limit}. Shorten the prompt, lower "
                "max_new_tokens, or use a model with a longer context."
            )


def _decode(
    model: PreTrainedModel,
    prompts: list[Sequence[int]],
    temperatures: Tensor,
    uniforms: Tensor,
    stop_token_ids: Sequence[int],
) -> list[Generation]:
    device = next(model.parameters()).device
    rows, max_new_tokens = uniforms.shape
    temperatures, uniforms = temperatures.to(device), uniforms.to(device)
    stops = torch.tensor(list(stop_token_ids), device=device)
    tokens = torch.zeros(rows, max_new_tokens, dtype=torch.long, device=device)
    logps = torch.zeros(rows, max_new_tokens, device=device)
    lengths = torch.full((rows,), max_new_tokens, device=device)
    stopped = torch.zeros(rows, dtype=torch.bool, device=device)

    batch = collate_prompts(prompts, [""] * rows)
    input_ids, attention_mask = batch.input_ids.to(device), batch.attention_mask.long().to(device)
    position_ids = (attention_mask.cumsum(dim=1) - 1).clamp(min=0)
    cache, cache_name = DynamicCache(config=model.config), _name_of_cache(model)
    active = torch.arange(rows, device=device)  # rows of the batch that are still in the cache
    for step in range(max_new_tokens):
        output = model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=True,
            logits_to_keep=1,
            **{cache_name: cache},
        )
        chosen, chosen_logp = _choose(output.logits[:, -1].float(), temperatures[active], uniforms[active, step])
        going = ~stopped[active]
        tokens[active[going], step] = chosen[going]
        logps[active[going], step] = chosen_logp[going]
        ends = going & torch.isin(chosen, stops)
        lengths[active[ends]] = step + 1
        stopped[active[ends]] = True
        going = ~stopped[active]
        if not bool(going.any()):
            break
        if int(going.sum()) * 2 <= len(active):
            keep = going.nonzero().squeeze(1)
            cache.batch_select_indices(keep)
            active, chosen = active[keep], chosen[keep]
            attention_mask, position_ids = attention_mask[keep], position_ids[keep]
        input_ids = chosen[:, None]
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)
        position_ids = position_ids[:, -1:] + 1
    columns = (tokens.tolist(), logps.tolist(), stopped.tolist(), lengths.tolist())
    return [
        Generation(row[:length], row_logps[:length], ended)
        for row, row_logps, ended, length in zip(*columns, strict=True)
    ]


def _name_of_cache(model: PreTrainedModel) -> str:
    """What the model calls its key-value cache: `cache` from transformers 5.24 on, `past_key_values` before."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def _choose(logits: Tensor, temperature: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """The token at which the cumulative distribution passes `uniform`; where the temperature is 0, the likeliest.

    The log-probability is that of the distribution drawn from: at the temperature, or at 1 for greedy rows.
    """
    greedy = temperature == 0
    scale = torch.where(greedy, torch.ones_like(temperature), temperature)
    logp = torch.log_softmax(logits / scale[:, None], dim=-1)  # (rows, vocabulary)
    cumulative = logp.exp().cumsum(dim=-1)
    # Rounding may leave the last cumulative value short of 1: scale the draw so that it always lands inside.
    drawn = torch.searchsorted(cumulative, (uniform * cumulative[:, -1])[:, None], right=True).squeeze(1)
    chosen = torch.where(greedy, logits.argmax(dim=-1), drawn.clamp(max=logits.shape[-1] - 1))
    return chosen, logp.gather(1, chosen[:, None]).squeeze(1)
