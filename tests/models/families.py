"""Small random models of several families, built from their configs alone."""

import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    Gemma3Config,
    GPT2Config,
    GPTNeoXConfig,
    GptOssConfig,
    GraniteConfig,
    GraniteMoeHybridConfig,
    Lfm2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    OPTConfig,
    PhimoeConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
    RecurrentGemmaConfig,
    RwkvConfig,
)

SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = SMALL | {"num_key_value_heads": 2}

CONFIGS: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**GROUPED, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**GROUPED),
    "qwen3": Qwen3Config(**GROUPED, head_dim=8),
    "mistral with a sliding window": MistralConfig(**GROUPED, sliding_window=4),
    "gemma2 with soft caps": Gemma2Config(**GROUPED, head_dim=8, sliding_window=4, final_logit_softcapping=2.0),
    "gpt_neox": GPTNeoXConfig(**SMALL),
    "gpt2": GPT2Config(
        vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=64, pad_token_id=0, bos_token_id=1, eos_token_id=2
    ),
}

WIDE = {"initializer_range": 0.3}  # weights so large that whatever a model is told wrongly shows
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
MAMBA = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "time_step_rank": 4}

SINKS = "gpt_oss with attention sinks"
OTHERS: dict[str, PretrainedConfig] = {
    "bloom": BloomConfig(vocab_size=97, hidden_size=32, n_layer=2, n_head=4, bos_token_id=1),
    SINKS: GptOssConfig(**GROUPED, **WIDE, **EXPERTS, head_dim=8, sliding_window=4),
    "mamba": MambaConfig(**MAMBA, **WIDE),
    "lfm2 with convolutions": Lfm2Config(**GROUPED, **WIDE, layer_types=["conv", "full_attention"]),
    "granite hybrid": GraniteMoeHybridConfig(
        **GROUPED | WIDE | EXPERTS,
        layer_types=["mamba", "attention"],
        mamba_n_heads=8,
        mamba_d_head=8,
        mamba_d_state=8,
        shared_intermediate_size=16,
    ),
    "recurrent gemma, with states in its modules": RecurrentGemmaConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        lru_width=32,
        attention_window_size=64,
    ),
    "rwkv": RwkvConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32, context_length=64),
    "phimoe": PhimoeConfig(**GROUPED, **EXPERTS),
    "qwen2_moe": Qwen2MoeConfig(
        **GROUPED, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, shared_expert_intermediate_size=16
    ),
    "granite": GraniteConfig(**GROUPED),
    "opt with projected states": OPTConfig(
        vocab_size=97, hidden_size=32, word_embed_proj_dim=16, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4
    ),
    "gemma3 with eyes": Gemma3Config(
        text_config=GROUPED
        | {"head_dim": 8, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        mm_tokens_per_image=4,
    ),
}
"""Families that are not driven in packed rows, or are built otherwise than most."""


def build(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config((CONFIGS | OTHERS)[name]).eval()
