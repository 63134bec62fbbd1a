"""Memory of a stage at a glance: bytes by part, from the numbers of a config alone.

Weights, gradients and moments are exact for a known number of parameters. Activations are rough: an upper estimate for
a decoder block whose attention keeps no square matrix, every row as long as the longest.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boresight.config.reward_sections import reward_models
from boresight.config.section_bases import BatchedStage, OptimizedStage
from boresight.config.sections import (
    DPOStage,
    EvaluateStage,
    KTOStage,
    LoRASection,
    PolicyStage,
    PPOStage,
    PreferenceStage,
    PretrainStage,
    RewardModelJudge,
    RewardModelStage,
    SampleStage,
    StageSection,
    TextStage,
)

GIB = 2**30
WEIGHT_BYTES = 4  # weights, gradients and moments are float32 whatever the arithmetic
FOUR_BIT_BYTES = 0.5 + 0.127 / 8  # a number and its share of the doubly quantised scales (Dettmers et al. 2023)
DTYPE_BYTES = {"float32": 4, "bfloat16": 2}
ROLLOUT_ROWS = 128
"""Responses that a stage which samples from its policy decodes at once."""

# Names that families of models have for one and the same number of their config.
NAMES = {
    "hidden_size": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "heads": ("num_attention_heads", "n_head", "num_heads"),
    "vocabulary_size": ("vocab_size",),
}
CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "seq_length")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The numbers of a decoder that memory depends on; `parameters` are those of the language model."""

    parameters: int
    vocabulary_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    key_value_size: int
    """Width of all keys of one token (heads of keys times their width); values have the same."""
    context_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMemory:
    """Bytes by part. `frozen`: weights of roles that are not trained. `activations`: what passes through, rough."""

    weights: int = 0
    gradients: int = 0
    moments: int = 0
    frozen: int = 0
    activations: int = 0

    @property
    def certain(self) -> int:
        """Everything but the activations."""
        return self.weights + self.gradients + self.moments + self.frozen

    @property
    def total(self) -> int:
        return self.certain + self.activations


def llama_shape(
    *,
    vocabulary_size: int,
    hidden_size: int,
    intermediate_size: int,
    layers: int,
    key_value_size: int | None = None,
    tied: bool,
    context_length: int | None = None,
) -> ModelShape:
    """Shape and exact parameters of a Llama-architecture model without biases (Touvron et al. 2023)."""
    key_value_size = hidden_size if key_value_size is None else key_value_size
    attention = 2 * hidden_size * hidden_size + 2 * hidden_size * key_value_size
    block = attention + 3 * hidden_size * intermediate_size + 2 * hidden_size
    embeddings = vocabulary_size * hidden_size * (1 if tied else 2)
    return ModelShape(
        parameters=embeddings + layers * block + hidden_size,
        vocabulary_size=vocabulary_size,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        layers=layers,
        key_value_size=key_value_size,
        context_length=context_length,
    )


def pretrain_shape(stage: PretrainStage) -> ModelShape:
    """The model that a pretrain stage makes; its embeddings are tied."""
    return llama_shape(
        vocabulary_size=stage.vocabulary_size,
        hidden_size=stage.hidden_size,
        intermediate_size=stage.intermediate_size,
        layers=stage.layers,
        tied=True,
        context_length=stage.context_length,
    )


def folder_shape(folder: Path) -> ModelShape | None:
    """The shape of a model folder: parameters counted in the headers of its weights, or else computed as for Llama.

    None where config.json cannot be read or does not hold the numbers of a decoder.
    """
    config = _read_object(folder / "config.json")
    config = config.get("text_config", config)
    numbers = {key: _first_number(config, names) for key, names in NAMES.items()}
    if any(value is None for value in numbers.values()):
        return None
    hidden, layers, heads, vocabulary = (
        numbers[key] or 0 for key in ("hidden_size", "layers", "heads", "vocabulary_size")
    )
    head_size = _first_number(config, ("head_dim",)) or hidden // max(1, heads)
    shape = llama_shape(
        vocabulary_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=_first_number(config, ("intermediate_size", "n_inner", "ffn_dim")) or 4 * hidden,
        layers=layers,
        key_value_size=(_first_number(config, ("num_key_value_heads",)) or heads) * head_size,
        tied=config.get("tie_word_embeddings", True) is not False,
        context_length=_first_number(config, CONTEXT_NAMES),
    )
    counted = _stored_parameters(folder)
    return shape if counted is None else _with_parameters(shape, counted)


def stage_memory(stage: StageSection, shape: ModelShape, *, number_bytes: int, tokens: int) -> StageMemory | None:
    """Memory at the peak of a stage; None for a stage that loads no model.

    `number_bytes`: of one number that the blocks keep. `tokens`: prompt and response of the longest row. Every role is
    taken to have the given shape, and to be in memory at once, as it is in these loops.
    """
    one = shape.parameters * WEIGHT_BYTES
    if isinstance(stage, TextStage | PolicyStage) and stage.lora is not None:
        return _adapted_memory(stage, stage.lora, shape, number_bytes=number_bytes, tokens=tokens)
    if isinstance(stage, SampleStage | EvaluateStage):
        judge = isinstance(stage, EvaluateStage) and isinstance(stage.judge, RewardModelJudge)
        return StageMemory(
            frozen=one * (2 if judge else 1),
            activations=_sampling(shape, number_bytes, rows=stage.batch_size, tokens=tokens),
        )
    if isinstance(stage, PolicyStage):
        rows = math.ceil(stage.prompts_per_step * stage.responses_per_prompt / stage.minibatches)
        trained = 2 if isinstance(stage, PPOStage) else 1  # the value model learns beside the policy
        passed = _passed(stage, rows * tokens, tokens)
        update = trained * _block_activations(stage, shape, number_bytes, passed) + _logits(shape, passed)
        rollout = _sampling(shape, number_bytes, rows=min(ROLLOUT_ROWS, rows * stage.minibatches), tokens=tokens)
        frozen = 1 + len(reward_models(stage.reward))  # the reference, and what pays the policy
        return _trained(one, trained, frozen=frozen * one, activations=max(update, rollout))
    if isinstance(stage, BatchedStage):
        examples = min(stage.micro_batch_size or stage.batch_size, stage.batch_size)
        paired = isinstance(stage, PreferenceStage)
        passed = _passed(stage, examples * tokens * (2 if paired else 1), tokens * (2 if paired else 1))
        logits = 0 if isinstance(stage, RewardModelStage) else _logits(shape, passed)
        apart = isinstance(stage, KTOStage) or (isinstance(stage, DPOStage) and stage.policy != stage.reference)
        frozen = one if apart else 0  # DPO asks a reference that is the policy's own start before the first update
        blocks = _block_activations(stage, shape, number_bytes, passed)
        return _trained(one, 1, frozen=frozen, activations=blocks + logits)
    return None


def _adapted_memory(
    stage: TextStage | PolicyStage, lora: LoRASection, shape: ModelShape, *, number_bytes: int, tokens: int
) -> StageMemory | None:
    """As without adapters, but that gradients and moments are theirs alone, and that a reference which is the policy's
    own start takes no room. Adapters are counted as if every linear layer of Llama's blocks had one."""
    unadapted = stage.model_copy(update={"lora": None})
    whole = stage_memory(unadapted, shape, number_bytes=number_bytes, tokens=tokens)
    if whole is None:
        return None
    base = shape.parameters * WEIGHT_BYTES
    trained = whole.gradients // base  # models
    # Queries and output 4 h, keys and values 2 h + 2 kv, gate, up and down 3 h + 3 i
    widths = 9 * shape.hidden_size + 2 * shape.key_value_size + 3 * shape.intermediate_size
    adapters = trained * lora.rank * widths * shape.layers * WEIGHT_BYTES
    shares = isinstance(stage, KTOStage | PolicyStage) and stage.policy == stage.reference
    spared = base - int(shape.parameters * FOUR_BIT_BYTES) if stage.quantization else 0  # of the policy alone
    return StageMemory(
        weights=adapters,
        gradients=adapters,
        moments=2 * adapters,
        frozen=whole.weights - spared + whole.frozen - (base if shares else 0),
        activations=whole.activations,
    )


def _passed(stage: OptimizedStage, batch: int, example: int) -> int:
    """Tokens in one forward and backward pass: those of the batch, or the budget, but one example at least."""
    return batch if stage.micro_batch_tokens is None else min(batch, max(stage.micro_batch_tokens, example))


def _trained(one: int, models: int, *, frozen: int, activations: int) -> StageMemory:
    """AdamW keeps two moments a weight."""
    trained = models * one
    return StageMemory(weights=trained, gradients=trained, moments=2 * trained, frozen=frozen, activations=activations)


def _block_activations(stage: OptimizedStage, shape: ModelShape, number_bytes: int, tokens: int) -> int:
    """What the blocks keep for the backward pass, counted off LlamaDecoderLayer; with activation checkpointing the
    input of each (h in float32), and all of the one that is computed again.

    A token and layer: inputs of two norms and of what follows them (4 h, and 4 h in float32 within the norms), queries
    before and after rotation (2 h), attention's result (1 h), keys before and after rotation and values (3 kv), and
    gate, its activation, up and their product (4 i).
    """
    kept = 7 * shape.hidden_size + 3 * shape.key_value_size + 4 * shape.intermediate_size
    block = kept * number_bytes + 4 * shape.hidden_size * 4
    if stage.activation_checkpointing:
        return tokens * (shape.layers * shape.hidden_size * 4 + block)
    return tokens * shape.layers * block


def _logits(shape: ModelShape, tokens: int) -> int:
    """Logits, their log-probabilities and the gradient of them, float32."""
    return 3 * 4 * tokens * shape.vocabulary_size


def _sampling(shape: ModelShape, number_bytes: int, *, rows: int, tokens: int) -> int:
    """Keys and values of all tokens, and the logits of one."""
    cache = 2 * shape.layers * shape.key_value_size * number_bytes * rows * tokens
    return cache + _logits(shape, rows)


def _with_parameters(shape: ModelShape, parameters: int) -> ModelShape:
    return ModelShape(**{name: getattr(shape, name) for name in shape.__slots__} | {"parameters": parameters})


def _stored_parameters(folder: Path) -> int | None:
    """Numbers in the tensors of a folder's safetensors files, read off their headers; None without such files."""
    index = _read_object(folder / "model.safetensors.index.json").get("weight_map")
    names = sorted(set(index.values())) if isinstance(index, dict) else ["model.safetensors"]
    total = 0
    for name in names:
        header = _safetensors_header(folder / name)
        if header is None:
            return None
        total += sum(math.prod(tensor["shape"]) for key, tensor in header.items() if key != "__metadata__")
    return total


def _safetensors_header(path: Path) -> dict[str, Any] | None:
    """The format: 8 bytes little-endian length, then that many bytes of JSON."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
    except (OSError, struct.error, ValueError, MemoryError, OverflowError):
        return None  # a damaged file is told by whoever loads it; here only its size was asked
    return header if isinstance(header, dict) else None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # the same: absent and damaged files are told when the model is loaded
    return value if isinstance(value, dict) else {}


def _first_number(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((value for name in names if isinstance(value := config.get(name), int) and value > 0), None)
