"""The numbers of a decoder that its memory depends on: of a config, of a stage that makes a model, or of a folder."""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boresight.config.sections import PretrainStage

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
