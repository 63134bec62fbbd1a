"""Log-probabilities (and entropy) of response tokens only: the vocabulary is projected where it counts.

Every objective that needs log-probabilities goes through `response_logps`. Rows come right-padded: under causal
attention what stands after a token cannot change it, so the content of the padding is without effect. How they are
computed, padding left out and prompts shared, is the business of `boresight.models.hidden_states`.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from boresight.errors import ModelError
from boresight.models.head_logps import head_logps, is_matrix
from boresight.models.hidden_states import hidden_states, slices_at_once, whole_logits
from boresight.objectives.logprobs import entropy, token_logps


class ResponseLogps(NamedTuple):
    """Values of the response tokens, moved to the left edge: `mask[r, t]` is True for the first `length_r` of them."""

    logp: Tensor  # (rows, response tokens) nats, 0 where mask is False
    mask: Tensor  # (rows, response tokens) bool
    entropy: Tensor | None  # (rows, response tokens) nats, or None where not asked for
    states: Tensor | None = None  # (response tokens in row order, hidden size), or None where not asked for


def response_logps(
    model: PreTrainedModel,
    input_ids: Tensor,
    response_mask: Tensor,
    *,
    temperature: float = 1.0,
    with_entropy: bool = False,
    with_states: bool = False,
) -> ResponseLogps:
    """Log-probability of each response token given everything before it, at a sampling temperature.

    `input_ids` and `response_mask` are (rows, tokens), right-padded; `response_mask` is True at the tokens whose
    probability counts (never at the first of a row, which nothing precedes). Float32 whatever the model's dtype. The
    states are those that the tokens were predicted from, for another head to read. Raises ModelError for states of a
    model that does not tell its last ones.
    """
    logps: list[Tensor] = []
    entropies: list[Tensor] = []
    read: list[Tensor] = []
    head = model.get_output_embeddings()
    plain = has_plain_head(model)
    fused = not with_entropy and plain and is_matrix(head)
    states: Tensor | None
    for part in slices_at_once(input_ids, response_mask):
        ids, counts = input_ids[part], response_mask[part]
        targets = ids[:, 1:][counts[:, 1:]]
        if plain:
            states = hidden_states(model.base_model, ids, predicting(counts))
        else:
            rows, states = whole_logits(model, ids, predicting(counts))
        if fused and states is not None:
            logps.append(head_logps(states, head, targets.to(states.device), temperature=temperature))
        else:
            rows = head(states) if plain else rows  # (response tokens of these rows, vocabulary)
            logps.append(token_logps(rows, targets.to(rows.device), temperature=temperature))
            if with_entropy:
                entropies.append(entropy(rows, temperature=temperature))
        if with_states:
            if states is None:
                raise ModelError(
                    f"{type(model).__name__}: its body does not tell its last hidden states, on which a value head "
                    "could stand. Set `roles: separate`."
                )
            read.append(states)
    mask = left_edge_mask(response_mask).to(logps[0].device)
    return ResponseLogps(
        to_left_edge(torch.cat(logps), mask),
        mask,
        to_left_edge(torch.cat(entropies), mask) if with_entropy else None,
        torch.cat(read) if with_states else None,
    )


def predicting(response_mask: Tensor) -> Tensor:
    """(rows, tokens) bool, True at the places whose state predicts a response token: position t predicts t + 1."""
    return torch.nn.functional.pad(response_mask[:, 1:], (0, 1))


def has_plain_head(model: PreTrainedModel) -> bool:
    """Whether body and output embedding alone give the model's logits (no scaling, no soft cap).

    Found out once for each model by comparing both ways on a few tokens, never trusted from its name.
    """
    known = getattr(model, "_boresight_plain_head", None)
    if known is None:
        known = _compare_head(model)
        model._boresight_plain_head = known
    return bool(known)


def call_whole(model: PreTrainedModel) -> None:
    """Compute this model's logits by its own forward from now on, not by calling body and head apart."""
    model._boresight_plain_head = False


@torch.no_grad()
def _compare_head(model: PreTrainedModel) -> bool:
    head = model.get_output_embeddings()
    if head is None or model.base_model is model:
        return False
    was_training = model.training
    model.eval()
    try:
        device = next(model.parameters()).device
        probe = torch.arange(1, 5, device=device)[None] % model.get_input_embeddings().weight.shape[0]
        whole = model(input_ids=probe, use_cache=False).logits
        apart = head(model.base_model(input_ids=probe, use_cache=False).last_hidden_state)
        return torch.equal(whole, apart)
    finally:
        model.train(was_training)


def left_edge_mask(response_mask: Tensor) -> Tensor:
    """(rows, tokens) bool -> (rows, longest response) bool, each row's True values moved to the left edge."""
    lengths = response_mask[:, 1:].sum(dim=1)
    return torch.arange(int(lengths.max()), device=lengths.device)[None] < lengths[:, None]


def to_left_edge(flat: Tensor, mask: Tensor) -> Tensor:
    """Values of the response tokens in row order -> (rows, response tokens), 0 beyond each row's end."""
    grid = flat.new_zeros(mask.shape)
    return grid.masked_scatter(mask, flat)
