"""Decoding with the key-value cache of transformers: for models that the decoder cannot drive.

Rows are padded on the left, and those that have stopped leave the batch when half of it has. Some models take no such
padding, or have no cache that can be driven from outside. What a model takes is found out by comparing with its plain
forward passes on a probe, never trusted from its name.
"""

import inspect
import logging
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from boresight.data.batches import collate_prompts, pad_rows
from boresight.models.sampling import Ends, Request, take_tokens
from boresight.objectives.logprobs import token_logps

PROBE = ((3, 7, 5, 1, 6, 2, 4), (8, 2), (9, 5, 7, 1), (6, 9))
PROBE_LIMITS = (5, 2, 3, 4)  # so that rows leave the batch on the way, also of two that are of one length
PROBE_TOLERANCE = 1e-3  # of the largest logit
QUANTIZED_TOLERANCE = 1e-1  # their arithmetic is bfloat16

Way = Callable[[PreTrainedModel, Sequence[Request], Ends], None]
"""To write the responses to some requests, all at once."""


def way_of_decoding(model: PreTrainedModel) -> Way:
    """The fastest way in which this model writes by its own distribution; found out once, noted where it is slow."""
    known: Way | None = getattr(model, "_boresight_decoding_way", None)
    if known is None:
        known = next((way for way in (_padded, _of_one_length) if _is_right(model, way)), _without_cache)
        model._boresight_decoding_way = known
        if known is not _padded:
            logging.getLogger(__name__).warning(
                "%s takes no padding while it decodes; %s",
                type(model).__name__,
                "prompts of one length are written together, which is slower still"
                if known is _of_one_length
                else "nor does its cache give what it computes without: all tokens are computed anew for each one",
            )
    return known


def _padded(model: PreTrainedModel, requests: Sequence[Request], ends: Ends) -> None:
    device = next(model.parameters()).device
    batch = collate_prompts([request.prompt for request in requests], [""] * len(requests))
    input_ids, attention_mask = batch.input_ids.to(device), batch.attention_mask.long().to(device)
    position_ids = (attention_mask.cumsum(dim=1) - 1).clamp(min=0)
    cache = _Cache(model)
    held = list(requests)  # those in the cache
    while True:
        logits = cache.logits(input_ids, attention_mask=attention_mask, position_ids=position_ids)
        going = _go_on(held, logits, ends)
        if not going:
            return
        if len(going) * 2 <= len(held):
            kept = cache.keep(going)
            held = [held[row] for row in going]
            attention_mask, position_ids = attention_mask[kept], position_ids[kept]
        input_ids = torch.tensor([[request.token_ids[-1]] for request in held], device=device)
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)
        position_ids = position_ids[:, -1:] + 1


def _of_one_length(model: PreTrainedModel, requests: Sequence[Request], ends: Ends) -> None:
    """Prompts of one length at a time, of which the model is told nothing but the tokens."""
    device = next(model.parameters()).device
    for _, group in groupby(sorted(requests, key=_prompt_length), key=_prompt_length):
        held, cache = list(group), _Cache(model)
        input_ids = torch.tensor([request.prompt for request in held], device=device)
        while going := _go_on(held, cache.logits(input_ids), ends):
            if len(going) * 2 <= len(held):
                cache.keep(going)
                held = [held[row] for row in going]
            input_ids = torch.tensor([[request.token_ids[-1]] for request in held], device=device)


def _without_cache(model: PreTrainedModel, requests: Sequence[Request], ends: Ends) -> None:
    device = next(model.parameters()).device
    held = list(requests)
    while held:
        rows, present = pad_rows([[*request.prompt, *request.token_ids] for request in held])
        logits = model(input_ids=rows.to(device), use_cache=False).logits
        newest = present.sum(dim=1).to(device) - 1
        going = _go_on(held, logits[torch.arange(len(held), device=device), newest], ends)
        held = [held[row] for row in going]


class _Cache:
    """What a model remembers of a batch of rows."""

    def __init__(self, model: PreTrainedModel) -> None:
        taken = inspect.signature(model.forward).parameters
        self._model = model
        self._cache = DynamicCache(config=model.config)
        # `cache` from transformers 5.24 on, `past_key_values` before.
        self._arguments: dict[str, Any] = {"cache" if "cache" in taken else "past_key_values": self._cache}
        if "logits_to_keep" in taken:
            self._arguments["logits_to_keep"] = 1

    def logits(self, input_ids: Tensor, **arguments: Tensor) -> Tensor:
        """(rows, vocabulary) logits after some tokens more of each row."""
        logits: Tensor = self._model(input_ids=input_ids, use_cache=True, **arguments, **self._arguments).logits
        return logits[:, -1]

    def keep(self, rows: Sequence[int]) -> Tensor:
        """Forget all but these rows; returns their numbers as an index."""
        kept = torch.tensor(rows, device=next(self._model.parameters()).device)
        self._cache.reorder_cache(kept)  # which layers of every kind know, those with states in place of keys as well
        return kept


def _go_on(held: Sequence[Request], logits: Tensor, ends: Ends) -> list[int]:
    """Give a token to each request that is not finished; returns the numbers of those that go on after it."""
    going = [row for row, request in enumerate(held) if not request.finished]
    take_tokens([held[row] for row in going], logits[going], ends)
    return [row for row in going if not held[row].finished]


def _prompt_length(request: Request) -> int:
    return len(request.prompt)


@torch.no_grad()
def _is_right(model: PreTrainedModel, way: Way) -> bool:
    """Whether the log-probabilities of what is written in this way are those of plain forward passes."""
    vocabulary = model.config.get_text_config().vocab_size
    generator = torch.Generator().manual_seed(0)
    requests = [
        Request(tuple(token % vocabulary for token in prompt), 1.0, torch.rand(limit, generator=generator), limit)
        for prompt, limit in zip(PROBE, PROBE_LIMITS, strict=True)
    ]
    was_training = model.training
    model.eval()
    try:
        with torch.autocast(next(model.parameters()).device.type, enabled=False):
            way(model, requests, lambda token_ids: False)
            return all(_is_its_own(model, request) for request in requests)
    except (TypeError, ValueError, RuntimeError, KeyError, AttributeError, IndexError):  # it takes no such keyword
        return False
    finally:
        model.train(was_training)


def _is_its_own(model: PreTrainedModel, request: Request) -> bool:
    row = torch.tensor([[*request.prompt, *request.token_ids]], device=next(model.parameters()).device)
    logits = model(input_ids=row, use_cache=False).logits[0, len(request.prompt) - 1 : -1].float()
    logps = token_logps(logits, row[0, len(request.prompt) :]).cpu()
    tolerance = QUANTIZED_TOLERANCE if getattr(model, "is_quantized", False) else PROBE_TOLERANCE
    return bool((logps - torch.tensor(request.logps)).abs().max() <= tolerance * float(logits.abs().max()))
