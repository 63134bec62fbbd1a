"""Last hidden states (or logits) at the places of right-padded rows where somebody reads them.

Everything that looks into a model goes through here: log-probabilities, reward scores, values. Rows are computed
without padding and with each prompt once (`boresight.models.shared_prompt`) where the model's attention can be driven
that way, which is found out by comparing both ways on a probe, never trusted from a name; otherwise they are computed
as they are, padding and all. Both give the same numbers but for rounding.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from boresight.data.batches import pad_rows
from boresight.errors import ModelError
from boresight.models.packed_attention import NAME, Spans
from boresight.models.precision import QUANTUM, is_lowered
from boresight.models.shared_prompt import PackedRow, pack

TOKENS_AT_ONCE = 2048  # padded tokens of one forward pass without gradient
WORTH_PACKING = 0.9  # of the padded tokens; where less is saved one plain batch is the faster one
PROBE = ((3, 7, 5, 1, 6, 2), (3, 7, 5, 4, 1), (8, 2, 9, 5, 7, 1, 3))  # two of one prompt, and a stranger
PROBE_PROMPTS = (3, 3, 2)
PROBE_TOLERANCE = 1e-3  # of the largest state; a wrong mask or position changes states by their own size
NOT_TAKEN = (TypeError, ValueError, RuntimeError, KeyError, AttributeError, IndexError)  # no such keyword or row
LOOKING_AHEAD = 1e-4  # of the largest state; equal but for rounding where no token behind is seen


def hidden_states(
    body: PreTrainedModel, input_ids: Tensor, wanted: Tensor, prompt_lengths: Sequence[int] | None = None
) -> Tensor:
    """(wanted places in row order, hidden size) states of a model without its head.

    `input_ids` and `wanted` are (rows, tokens), right-padded. A row's prompt is what comes up to its first wanted
    place, unless `prompt_lengths` says otherwise; rows with equal prompts share it. Tokens behind a row's last wanted
    place are not computed.
    """
    arguments, places = _row_arguments(body, input_ids, wanted, prompt_lengths)
    states = _last_hidden_state(body, arguments)
    return states[places]


def call_within(body: PreTrainedModel, model: PreTrainedModel) -> None:
    """Compute this body's states by calling the model around it from now on."""
    taken = inspect.signature(model.forward).parameters
    body._boresight_within = partial(model, **({"logits_to_keep": 1} if "logits_to_keep" in taken else {}))


def _last_hidden_state(body: PreTrainedModel, arguments: dict[str, Any]) -> Tensor:
    within = getattr(body, "_boresight_within", None)
    if within is None:
        states: Tensor = body(**arguments).last_hidden_state
        return states
    passed: list[Tensor] = []
    hook = body.register_forward_hook(lambda body, given, out: passed.append(out.last_hidden_state))
    try:
        within(**arguments)
    finally:
        hook.remove()
    return passed[0]


def slices_at_once(input_ids: Tensor, response_mask: Tensor) -> list[slice]:
    """Which rows of (rows, tokens) to compute together: all where a gradient is wanted, since the caller has cut his
    batch to fit, and otherwise about TOKENS_AT_ONCE tokens' worth, so that a large batch takes the memory and cache of
    a small one.

    Neighbours with equal prompts stay together, whatever their number: they share the computation of it.
    """
    rows, width = input_ids.shape
    if torch.is_grad_enabled():
        return [slice(0, rows)]
    starts = [*_new_prompts(input_ids, response_mask), rows]
    slices = []
    start = end = 0
    for following in starts[1:]:
        if end > start and (following - start) * width > TOKENS_AT_ONCE:
            slices.append(slice(start, end))
            start = end
        end = following
    return [*slices, slice(start, rows)]


def _new_prompts(input_ids: Tensor, response_mask: Tensor) -> list[int]:
    """Numbers of the rows whose prompt is not that of the row before; of the first at any rate."""
    length = response_mask.int().argmax(dim=1)
    within = torch.arange(input_ids.shape[1], device=length.device)[None] < length[1:, None]
    same = (length[1:] == length[:-1]) & ~((input_ids[1:] != input_ids[:-1]) & within).any(dim=1)
    return [0, *((~same).nonzero().flatten() + 1).tolist()]


def whole_logits(model: PreTrainedModel, input_ids: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor | None]:
    """Logits by the model's own forward, whatever its head does to them, and the states that they were made from, where
    the model tells them: (wanted places in row order, vocabulary) and (wanted places in row order, hidden size)."""
    arguments, places = _row_arguments(model.base_model, input_ids, wanted, None)
    passed: list[Tensor | None] = []
    hook = model.base_model.register_forward_hook(
        lambda body, given, out: passed.append(getattr(out, "last_hidden_state", None))
    )
    try:
        if "spans" in arguments:
            logits: Tensor = model(**arguments, logits_to_keep=places[1]).logits[0]
        else:
            logits = model(**arguments).logits[places]
    finally:
        hook.remove()
    states = passed[0] if passed else None
    return logits, None if states is None else states[places]


def _row_arguments(
    body: PreTrainedModel, input_ids: Tensor, wanted: Tensor, prompt_lengths: Sequence[int] | None
) -> tuple[dict[str, Any], tuple[Tensor, ...]]:
    """What to call the model with, and where in its output the wanted places are: packed where that is worth it."""
    device = _device(body)
    if packs(body):
        row = _packed(input_ids.cpu(), wanted.cpu(), prompt_lengths, is_lowered(device.type))
        if _is_worth_it(row, input_ids, device):
            places = row.places[wanted.cpu()].to(device)
            return packed_arguments(row, device), (torch.zeros_like(places), places)
    return {"input_ids": input_ids.to(device), "use_cache": False}, wanted.to(device).nonzero(as_tuple=True)


def _is_worth_it(row: PackedRow, input_ids: Tensor, device: torch.device) -> bool:
    """Whether packing saves enough; always in bfloat16 on a CPU, where padded batches come in ever new shapes and the
    kernels of each, attention's above all, are kept for good."""
    if device.type == "cpu" and is_lowered("cpu"):
        return True
    return row.input_ids.numel() <= WORTH_PACKING * input_ids.numel()


def packs(body: PreTrainedModel) -> bool:
    """Whether this model gives the same states for packed rows; found out once, on the first use.

    Raises ModelError for a model whose tokens see those behind them: neither way of computing its rows would be right.
    A model that packs keeps the attention implementation that can be told of spans; any other keeps its own.
    """
    known = getattr(body, "_boresight_packs", None)
    if known is None:
        known = _probe(body)
        body._boresight_packs = known
    return bool(known)


def unpacked(body: PreTrainedModel) -> None:
    """Compute this model's rows padded from now on: the plain way, to compare with."""
    body._boresight_packs = False


@torch.no_grad()
def _probe(body: PreTrainedModel) -> bool:
    if not isinstance(body, PreTrainedModel):
        return False
    before, was_training = _attention_by_config(body), body.training
    device = _device(body)
    body.eval()
    try:
        with torch.autocast(device.type, enabled=False):
            plain = _padded_states(body, device)
            _refuse_looking_ahead(body, plain)
            same = bool(body._can_set_attn_implementation())
            if same:
                body.set_attn_implementation(NAME)
                same = _gives(body, plain, device)
    except NOT_TAKEN:
        same = False
    finally:
        body.train(was_training)
    if not same:
        for config, implementation in before:
            config._attn_implementation_internal = implementation
    return same


def _attention_by_config(body: PreTrainedModel) -> list[tuple[PreTrainedConfig, str]]:
    """The attention implementation of a model and of its parts, some of which may take no other."""
    configs = {id(config): config for part in body.modules() if (config := getattr(part, "config", None)) is not None}
    return [(c, c._attn_implementation) for c in configs.values() if isinstance(c, PreTrainedConfig)]


def _probe_rows(body: PreTrainedModel) -> list[list[int]]:
    vocabulary = body.get_input_embeddings().weight.shape[0]
    return [[token % vocabulary for token in row] for row in PROBE]


def _padded_states(body: PreTrainedModel, device: torch.device) -> Tensor:
    """(tokens of the probe, hidden size) states of the padded rows."""
    padded, present = pad_rows(_probe_rows(body))
    states: Tensor = body(input_ids=padded.to(device), use_cache=False).last_hidden_state[present.to(device)]
    return states


def _refuse_looking_ahead(body: PreTrainedModel, plain: Tensor) -> None:
    """Raise ModelError where what two rows of the probe begin with has other states in the one than in the other."""
    common, first = PROBE_PROMPTS[0], len(PROBE[0])
    ahead = (plain[:common] - plain[first : first + common]).abs().max()
    if ahead > LOOKING_AHEAD * plain.abs().max() and not getattr(body, "is_quantized", False):
        raise ModelError(
            f"{type(body).__name__}: what this model makes of a token depends on the tokens behind it; expected a "
            "causal language model, whose log-probabilities and scores follow from what stands before. Name a model of "
            "a causal family, such as Llama, Qwen or Gemma; in the config.json of one of BERT's kind that was trained "
            "as a decoder, set is_decoder to true."
        )


def _gives(body: PreTrainedModel, plain: Tensor, device: torch.device) -> bool:
    """Whether the states of the probe, padded and packed, are those that the model's own attention gave."""
    rows = _probe_rows(body)
    _, present = pad_rows(rows)
    row = pack(rows, PROBE_PROMPTS, width=present.shape[1], quantum=QUANTUM)
    arguments = packed_arguments(row, device)
    packed = body(**arguments).last_hidden_state[0][row.places[present].to(device)]
    everywhere = arguments["spans"].layers == body.config.get_text_config().num_hidden_layers
    found = packed, _padded_states(body, device)
    return bool(everywhere and all((s - plain).abs().max() <= PROBE_TOLERANCE * plain.abs().max() for s in found))


def _packed(input_ids: Tensor, wanted: Tensor, prompt_lengths: Sequence[int] | None, lowered: bool) -> PackedRow:
    places = torch.arange(1, wanted.shape[1] + 1)
    needed = (wanted * places).amax(dim=1).tolist()  # up to the last wanted place
    prompts = prompt_lengths or (wanted.int().argmax(dim=1) + 1).tolist()
    rows = [row[:length] for row, length in zip(input_ids.tolist(), needed, strict=True)]
    return pack(rows, prompts, width=input_ids.shape[1], quantum=QUANTUM if lowered else 1)


def packed_arguments(
    row: PackedRow, device: torch.device, keep: Callable[[Tensor, Tensor], None] | None = None
) -> dict[str, Any]:
    """What to call a model with that `packs`; `keep` as in `Spans`."""
    return {
        "input_ids": row.input_ids.to(device),
        "position_ids": row.position_ids.to(device),
        # Taken as a finished mask and passed on as it is; the spans say who sees whom.
        "attention_mask": torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device),
        "use_cache": False,
        "spans": Spans(row.spans, keep),
    }


def _device(body: torch.nn.Module) -> torch.device:
    return next(body.parameters()).device
