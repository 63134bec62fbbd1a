"""Frozen weights in 4 bits under trained adapters (QLoRA, Dettmers et al. 2023, arXiv:2305.14314), by bitsandbytes.

Not measured: no figure of this project was made with it, and no test runs it, since it needs a CUDA device.
"""

import importlib.util
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from boresight.errors import ModelError


def quantized_loading(quantization: str | None) -> dict[str, Any]:
    """Options for `from_pretrained`; none where no quantization is wanted. Raises ModelError where it cannot be had."""
    if quantization is None:
        return {}
    if missing := missing_for_quantization():
        raise ModelError(f"quantization: {quantization}: {missing}")
    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=["lm_head", "embed_out", "score", "classifier"],  # heads, in 4 bits as well as in 8
        ),
        "device_map": {"": torch.cuda.current_device()},
    }


def missing_for_quantization() -> str | None:
    """What this machine lacks for it and what to do about that; None where it has everything."""
    if not torch.cuda.is_available():
        return (
            "there is no CUDA device here. Run on a machine with an NVIDIA GPU, or take the setting out: lora alone "
            "runs anywhere."
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        return "bitsandbytes is not installed. Install it (pip install 'boresight[qlora]'), or take the setting out."
    return None
