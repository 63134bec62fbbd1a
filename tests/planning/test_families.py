"""Parameters counted from a config alone, against the counts that models are published with and models really made."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from boresight.config.sections import LoRASection
from boresight.models.adapters import add_adapter
from boresight.planning.families import config_shape
from boresight.planning.known_models import known_configs

PUBLISHED = json.loads((Path(__file__).parent / "published_parameters.json").read_text(encoding="utf-8"))
"""Parameters that the models' pages on the hub list."""
SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 130,
}


def test_every_published_count_is_met_exactly() -> None:
    configs = known_configs()
    assert set(PUBLISHED) <= set(configs) and len(PUBLISHED) > 50
    wrong = {name: shape.parameters for name in PUBLISHED if (shape := config_shape(configs[name])) is not None
             and shape.parameters != PUBLISHED[name]}  # fmt: skip
    assert wrong == {}


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama", "num_key_value_heads": 2, "tie_word_embeddings": False},
        {"model_type": "llama", "num_key_value_heads": 2, "attention_bias": True, "tie_word_embeddings": True},
        {"model_type": "qwen2", "num_key_value_heads": 2, "tie_word_embeddings": True},
        {"model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": False},
        {"model_type": "gemma2", "num_key_value_heads": 2, "head_dim": 24},
        {"model_type": "gemma3_text", "num_key_value_heads": 2, "head_dim": 24},
        {"model_type": "olmo2", "num_key_value_heads": 4, "tie_word_embeddings": False},
        {"model_type": "phi", "num_key_value_heads": 4, "tie_word_embeddings": False},
        {"model_type": "gpt_neox", "tie_word_embeddings": False},
        {"model_type": "qwen3_moe", "num_key_value_heads": 2, "head_dim": 16, "num_experts": 8,
         "num_experts_per_tok": 2, "moe_intermediate_size": 32, "tie_word_embeddings": False},
        {"model_type": "mixtral", "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2,
         "tie_word_embeddings": False},
    ],
    ids=lambda config: "-".join(str(value) for value in list(config.values())[:2]),
)  # fmt: skip
def test_small_models_have_the_parameters_that_are_counted(config: dict[str, Any]) -> None:
    whole = SMALL | config
    made = AutoConfig.for_model(**whole)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(made)
    shape = config_shape(made.to_dict())
    assert shape is not None
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["qwen3_moe", "mixtral", "olmoe"])
def test_adapters_of_a_mixture_reach_its_experts_and_are_counted_so(kind: str) -> None:
    made = AutoConfig.for_model(
        **SMALL, model_type=kind, num_key_value_heads=2, num_experts=4, num_local_experts=4, num_experts_per_tok=2
    )
    shape = config_shape(made.to_dict())
    assert shape is not None
    lora = LoRASection(rank=4)
    adapter = add_adapter(AutoModelForCausalLM.from_config(made), lora, task="CAUSAL_LM", seed=0)
    counted = sum(parameter.numel() for parameter in adapter.weights("default").parameters())
    assert shape.adapter_parameters(lora.rank) == counted


def test_of_a_mixture_a_token_passes_the_chosen_experts_alone() -> None:
    shape = config_shape(known_configs()["Qwen/Qwen3-30B-A3B"])
    assert shape is not None and shape.is_mixture
    assert shape.active_parameters / 1e9 == pytest.approx(3.3, abs=0.1)  # as its page says
    assert shape.intermediate_size == 8 * 768


def test_a_model_that_sees_images_too_is_counted_by_its_text_part() -> None:
    text = known_configs()["meta-llama/Llama-3.2-1B"]
    assert config_shape({"model_type": "any", "text_config": text}) == config_shape(text)


@pytest.mark.parametrize("size", [None, "64", 0, -1, True, 2.5])
def test_a_size_that_is_no_count_gives_no_shape(size: object) -> None:
    assert config_shape({**known_configs()["Qwen/Qwen3-4B"], "hidden_size": size}) is None
