"""The same numbers to the bit, with less kept for the backward pass."""

import copy

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from boresight.errors import ModelError
from boresight.models.activation_checkpointing import checkpoint_activations
from boresight.models.hidden_states import packs, unpacked
from boresight.models.response_logps import response_logps
from boresight.models.tiny import build_llama, tiny_tokenizer

from .families import CONFIGS, SMALL, build
from .test_hidden_states import rows_of


def twin(model: PreTrainedModel) -> PreTrainedModel:
    recomputing = copy.deepcopy(model)
    checkpoint_activations(recomputing)
    return recomputing


def gradients(model: PreTrainedModel, seed: int = 0) -> tuple[torch.Tensor, list[torch.Tensor]]:
    torch.manual_seed(seed)  # dropout
    input_ids, mask = rows_of(0, prompts=3, responses=2)
    logp = response_logps(model, input_ids, mask).logp
    logp.sum().backward()
    return logp.detach(), [p.grad for p in model.parameters() if p.grad is not None]


def assert_equal_numbers(model: PreTrainedModel, recomputing: PreTrainedModel) -> None:
    (logp, expected), (found_logp, found) = gradients(model), gradients(recomputing)
    assert torch.equal(logp, found_logp)
    assert len(found) == len(expected) > 0
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("family", CONFIGS)
def test_log_probabilities_and_gradients_are_equal_to_the_bit(family: str, packed: bool) -> None:
    model = build(family)
    if not packed:
        unpacked(model.base_model)
    recomputing = twin(model)
    assert packs(recomputing.base_model) == packed
    assert_equal_numbers(model, recomputing)


def test_dropout_of_the_recomputation_is_that_of_the_forward_pass() -> None:
    torch.manual_seed(0)
    model = type(build("llama"))(type(CONFIGS["llama"])(**SMALL, attention_dropout=0.5)).train()
    assert_equal_numbers(model, twin(model))


def test_bfloat16_arithmetic_is_repeated() -> None:
    model = build("llama")
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        assert_equal_numbers(model, twin(model))


def kept_bytes(model: PreTrainedModel, input_ids: torch.Tensor) -> int:
    """Memory behind all tensors that a forward pass keeps for the backward pass, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        states = model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state
    assert states.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


def test_a_tenth_of_the_activations_is_kept() -> None:
    """Four blocks, width 128, 512 tokens, float32. Of each block its input is left: 128 of some 2,300 numbers a token;
    beside them the last norm, and the angles of the positions, which all blocks share."""
    model = build_llama(
        tiny_tokenizer(), hidden_size=128, intermediate_size=352, layers=4, heads=4, context_length=128,
        initializer_range=0.02, seed=0,
    )  # fmt: skip
    input_ids = torch.randint(0, 256, (4, 128), generator=torch.Generator().manual_seed(0))
    before, after = kept_bytes(model, input_ids), kept_bytes(twin(model), input_ids)
    assert after < 0.1 * before, f"{before} bytes kept before, {after} after"


def test_a_model_without_marked_blocks_is_refused_with_what_to_do() -> None:
    with pytest.raises(ModelError, match=r"Linear: .* cannot be checkpointed\. Take `activation_checkpointing` out"):
        checkpoint_activations(nn.Linear(1, 1))
