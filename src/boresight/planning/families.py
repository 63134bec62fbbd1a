"""From the config of a model to its shape: what families of models have beside the numbers that all have.

Counted after the modelling files of transformers 5; a family that is not listed is counted as Llama.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from boresight.planning.shapes import ModelShape

# Names that families of models have for one and the same number of their config.
NAMES = {
    "hidden_size": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "heads": ("num_attention_heads", "n_head", "num_heads"),
    "vocabulary_size": ("vocab_size",),
}
CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "seq_length")
EXPERT_NAMES = ("num_local_experts", "num_experts", "n_routed_experts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Where a family's blocks differ from Llama's (two norms a block, no biases, a gated feed-forward part)."""

    gated: bool = True
    norms: int = 2
    """Norms of the hidden size in a block."""
    biases: Literal["none", "queries", "all"] = "none"
    """queries: of queries, keys and values. all: of every linear layer of the blocks and of every norm."""
    normed_heads: Literal["none", "head", "all"] = "none"
    """Norms of queries and keys: one of a head's width each, or of the width of all heads."""
    positions: int | None = None
    """Rows of learnt positions beyond the context; None where positions are not learnt."""
    head_bias: bool = False


FAMILIES = {
    "qwen2": Family(biases="queries"),
    "qwen3": Family(normed_heads="head"),
    "qwen3_moe": Family(normed_heads="head"),
    "olmo2": Family(normed_heads="all"),
    "gemma2": Family(norms=4),
    "gemma3": Family(norms=4, normed_heads="head"),
    "gemma3_text": Family(norms=4, normed_heads="head"),
    "gpt2": Family(gated=False, biases="all", positions=0),
    "gpt_neox": Family(gated=False, biases="all"),
    "opt": Family(gated=False, biases="all", positions=2),
    "phi": Family(gated=False, biases="all", norms=1, head_bias=True),
}

ADAPTED_EXPERTS = (
    "mixtral", "olmoe", "flex_olmo", "qwen3_moe", "qwen3_next", "deepseek_v2", "deepseek_v3", "dots1", "ernie4_5_moe",
    "glm4_moe", "minimax_m2", "hunyuan_v1_moe",
)  # fmt: skip
"""Families whose experts, one tensor each in transformers 5, adapters of all linear layers reach from peft 0.21 on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """A mixture of experts: `count` of them in each block, `chosen` for a token, each of width `size`."""

    count: int
    chosen: int
    size: int
    shared: int
    """Width of the part that every token passes."""


def config_shape(config: Mapping[str, Any]) -> ModelShape | None:
    """The shape that a model's config.json tells; None where it lacks the numbers of a decoder."""
    config = config.get("text_config", config)
    if not isinstance(config, Mapping):
        return None
    numbers = {key: first_number(config, names) for key, names in NAMES.items()}
    if any(value is None for value in numbers.values()):
        return None
    hidden, layers, heads, vocabulary = (
        numbers[key] or 0 for key in ("hidden_size", "layers", "heads", "vocabulary_size")
    )
    head_size = first_number(config, ("head_dim",)) or hidden // max(1, heads)
    intermediate = first_number(config, ("intermediate_size", "n_inner", "ffn_dim")) or 4 * hidden
    family = FAMILIES.get(str(config.get("model_type")), Family())
    query, key_value = heads * head_size, (first_number(config, ("num_key_value_heads",)) or heads) * head_size
    experts = _experts(config, intermediate)
    active_width = intermediate if experts is None else experts.chosen * experts.size + experts.shared
    context = first_number(config, CONTEXT_NAMES)
    tied = config.get("tie_word_embeddings", True) is not False
    outside = vocabulary * hidden * (1 if tied else 2) + _norm(family, hidden) + vocabulary * family.head_bias
    if family.positions is not None:
        outside += ((context or 0) + family.positions) * hidden
    attention = _attention(family, hidden, query, key_value, head_size, bool(config.get("attention_bias")))
    attention += family.norms * _norm(family, hidden)
    if experts is None:
        stored = active = _feed_forward(family, hidden, intermediate)
    else:
        router = hidden * experts.count
        stored = _feed_forward(family, hidden, experts.count * experts.size + experts.shared) + router
        active = _feed_forward(family, hidden, active_width) + router
    return ModelShape(
        parameters=outside + layers * (attention + stored),
        active_parameters=outside + layers * (attention + active),
        vocabulary_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=active_width,
        layers=layers,
        query_size=query,
        key_value_size=key_value,
        context_length=context,
        gated=family.gated,
        tied=tied,
        adapted_experts=0 if experts is None else _adapted(experts, hidden, str(config.get("model_type"))),
    )


def first_number(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """The first of these keys that holds a whole number above 0."""
    return next((value for name in names if _is_count(value := config.get(name))), None)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _experts(config: Mapping[str, Any], intermediate: int) -> Experts | None:
    count = first_number(config, EXPERT_NAMES)
    if count is None or count == 1:
        return None
    return Experts(
        count=count,
        chosen=first_number(config, ("num_experts_per_tok", "num_experts_per_token")) or 1,
        size=first_number(config, ("moe_intermediate_size",)) or intermediate,
        shared=first_number(config, ("shared_expert_intermediate_size",)) or 0,
    )


def _adapted(experts: Experts, hidden: int, kind: str) -> int:
    """Parameters of an adapter of rank 1 in the feed-forward part of a block: one of each expert's output, one of twice
    the rank of its two inputs, which are one tensor, and one of the router."""
    shared = 3 * (hidden + experts.shared) if experts.shared else 0
    if kind not in ADAPTED_EXPERTS:
        return shared
    each = experts.size + hidden + 2 * (hidden + 2 * experts.size)
    return shared + experts.count * each + hidden + experts.count


def _norm(family: Family, width: int) -> int:
    return width * (2 if family.biases == "all" else 1)


def _attention(family: Family, hidden: int, query: int, key_value: int, head: int, biased: bool) -> int:
    weights = 2 * hidden * query + 2 * hidden * key_value
    if family.biases != "none" or biased:
        weights += query + 2 * key_value
    if family.biases == "all" or (biased and family.biases == "none"):
        weights += hidden
    if family.normed_heads == "head":
        weights += 2 * head
    elif family.normed_heads == "all":
        weights += query + key_value
    return weights


def _feed_forward(family: Family, hidden: int, width: int) -> int:
    matrices = (3 if family.gated else 2) * hidden * width
    return matrices + (hidden + width if family.biases == "all" else 0)
