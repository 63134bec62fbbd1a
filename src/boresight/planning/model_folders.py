"""The shape of a model folder: its config, and the parameters counted in the headers of its weights."""

import json
import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

from boresight.planning.families import config_shape
from boresight.planning.shapes import ModelShape


def folder_shape(folder: Path) -> ModelShape | None:
    """The shape of a model folder: parameters counted in the headers of its weights, or else from its config.

    None where config.json cannot be read or does not hold the numbers of a decoder.
    """
    shape = config_shape(read_object(folder / "config.json"))
    counted = _stored_parameters(folder)
    if shape is None or counted is None:
        return shape
    aside = shape.parameters - shape.active_parameters  # experts that a token does not pass
    return replace(shape, parameters=counted, active_parameters=counted - aside)


def _stored_parameters(folder: Path) -> int | None:
    """Numbers in the tensors of a folder's safetensors files, read off their headers; None without such files."""
    index = read_object(folder / "model.safetensors.index.json").get("weight_map")
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


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # absent and damaged files are told when the model is loaded
    return value if isinstance(value, dict) else {}
