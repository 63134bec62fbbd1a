"""Decoding with the key-value cache of transformers: for models that the decoder cannot drive.

Rows are padded on the left, and those that have stopped leave the batch when half of it has.
"""

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from boresight.data.batches import collate_prompts
from boresight.models.sampling import Ends, Request, take_tokens


def decode_with_model_cache(model: PreTrainedModel, requests: Sequence[Request], ends: Ends) -> None:
    """Write the responses to some requests, all at once."""
    device = next(model.parameters()).device
    batch = collate_prompts([request.prompt for request in requests], [""] * len(requests))
    input_ids, attention_mask = batch.input_ids.to(device), batch.attention_mask.long().to(device)
    position_ids = (attention_mask.cumsum(dim=1) - 1).clamp(min=0)
    cache, cache_name = DynamicCache(config=model.config), _name_of_cache(model)
    held = list(requests)  # those in the cache
    while True:
        logits: Tensor = model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=True,
            logits_to_keep=1,
            **{cache_name: cache},
        ).logits[:, -1]
        going = [row for row, request in enumerate(held) if not request.finished]
        take_tokens([held[row] for row in going], logits[going], ends)
        going = [row for row in going if not held[row].finished]
        if not going:
            return
        if len(going) * 2 <= len(held):
            kept = torch.tensor(going, device=device)
            cache.batch_select_indices(kept)
            held = [held[row] for row in going]
            attention_mask, position_ids = attention_mask[kept], position_ids[kept]
        input_ids = torch.tensor([[request.token_ids[-1]] for request in held], device=device)
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)
        position_ids = position_ids[:, -1:] + 1


def _name_of_cache(model: PreTrainedModel) -> str:
    """What the model calls its key-value cache: `cache` from transformers 5.24 on, `past_key_values` before."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
