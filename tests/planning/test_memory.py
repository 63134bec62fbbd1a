"""Bytes by part, held against models that are really made."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedModel

from boresight.config.policy_stages import VLLMSection
from boresight.config.sections import (
    DPOStage,
    EvaluateStage,
    GateStage,
    LoRASection,
    PPOStage,
    PretrainStage,
    RLOOStage,
    SFTStage,
    StageSection,
)
from boresight.data.chat_template import ChatFormat
from boresight.models import head_logps
from boresight.models.adapters import add_adapter
from boresight.models.backbone import fresh_value_model
from boresight.models.hidden_states import packs
from boresight.models.lean_modules import make_lean
from boresight.models.response_logps import has_plain_head, response_logps
from boresight.models.roles import Policy
from boresight.models.tiny import build_llama, tiny_tokenizer
from boresight.planning.activations import LOGITS_AT_ONCE
from boresight.planning.memory import Memory
from boresight.planning.model_folders import folder_shape
from boresight.planning.numbers import FOUR_BIT_BYTES, GIB
from boresight.planning.shapes import ModelShape, llama_shape, pretrain_shape
from boresight.planning.stage_memory import stage_memory, stage_recipe

PRETRAIN = PretrainStage(kind="pretrain", data="docs.txt", steps=1, vocabulary_size=260, hidden_size=48, heads=4)
SFT = SFTStage(kind="sft", data="d.jsonl", steps=1, batch_size=6)


def build(stage: PretrainStage) -> PreTrainedModel:
    return build_llama(
        tiny_tokenizer(),
        hidden_size=stage.hidden_size,
        intermediate_size=stage.intermediate_size,
        layers=stage.layers,
        heads=stage.heads,
        context_length=stage.context_length,
        initializer_range=stage.initializer_range,
        seed=0,
    )


def test_parameters_of_a_pretrain_stage_are_those_of_the_model_it_makes() -> None:
    model = build(PRETRAIN)
    shape = pretrain_shape(PRETRAIN.model_copy(update={"vocabulary_size": model.config.vocab_size}))
    assert shape.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("tied", [True, False])
def test_a_config_alone_gives_the_parameters_of_a_llama_with_grouped_keys(tmp_path: Path, tied: bool) -> None:
    config = LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=80,
        num_hidden_layers=3,
        num_attention_heads=8,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
        max_position_embeddings=77,
    )
    config.save_pretrained(tmp_path)
    shape = folder_shape(tmp_path)
    model = AutoModelForCausalLM.from_config(config)
    assert shape is not None
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert (shape.key_value_size, shape.context_length) == (8, 77)


def test_stored_weights_are_counted_whatever_the_family(tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2, n_positions=33)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    shape = folder_shape(tmp_path)
    assert shape is not None
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert shape.context_length == 33


def test_weights_in_several_files_are_counted_once(tmp_path: Path) -> None:
    model = build(PRETRAIN)
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    shape = folder_shape(tmp_path)
    assert shape is not None and shape.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("content", [None, "{", "[1]", json.dumps({"hidden_size": 8})])
def test_a_folder_that_tells_no_shape_gives_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    assert folder_shape(tmp_path) is None


def test_gradients_and_moments_are_what_adamw_holds() -> None:
    model = build(PRETRAIN)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.zeros(1, 2, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    moments = sum(
        tensor.numel() * tensor.element_size()
        for state in optimizer.state.values()
        for tensor in state.values()
        if tensor.ndim
    )
    gradients = sum(p.grad.numel() * p.grad.element_size() for p in model.parameters() if p.grad is not None)
    shape = pretrain_shape(PRETRAIN.model_copy(update={"vocabulary_size": model.config.vocab_size}))
    memory = stage_memory(SFT, shape, dtype="float32", tokens=16)
    assert memory is not None
    assert (memory.weights, memory.gradients, memory.moments) == (gradients, gradients, moments)


def test_activations_are_an_upper_estimate_of_what_autograd_keeps() -> None:
    """Counted: every tensor saved for the backward pass, parameters and shared storages left out."""
    stage = PRETRAIN.model_copy(update={"hidden_size": 128, "layers": 3, "heads": 4})
    model = build(stage)
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}
    held = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)  # a freed storage would lend its address to the next
        return tensor

    make_lean(model.base_model)
    ids = torch.randint(1, 200, (SFT.batch_size, 40), generator=torch.Generator().manual_seed(0))
    everywhere = torch.ones_like(ids, dtype=torch.bool)
    everywhere[:, 0] = False
    assert packs(model.base_model) and has_plain_head(model)  # which are found out by passes of their own
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        assert response_logps(model, ids, everywhere).logp.requires_grad
    shape = pretrain_shape(stage.model_copy(update={"vocabulary_size": model.config.vocab_size}))
    memory = stage_memory(SFT, shape, dtype="float32", tokens=40)
    assert memory is not None
    assert sum(kept.values()) < memory.activations < 1.3 * sum(kept.values())


SHAPE = llama_shape(vocabulary_size=100, hidden_size=8, intermediate_size=16, layers=2, tied=True)


def memory_of(stage: StageSection, shape: ModelShape = SHAPE, dtype: str = "bfloat16", **options: bool) -> Memory:
    found = stage_memory(stage, shape, dtype=dtype, tokens=10, **options)
    assert found is not None
    return found


def test_ppo_trains_two_models_and_holds_two_frozen() -> None:
    one = SHAPE.parameters * 4
    ppo = PPOStage(kind="ppo", policy="a", reference="a", reward="r", prompts="p.jsonl", steps=1)
    memory = memory_of(ppo)
    assert (memory.weights, memory.gradients, memory.moments, memory.frozen) == (2 * one, 2 * one, 4 * one, 2 * one)
    assert memory.certain == 10 * one and memory.total == memory.certain + memory.activations


PPO = PPOStage(kind="ppo", policy="a", reference="a", reward="r", prompts="p.jsonl", steps=1)
LORA = LoRASection(rank=2)


@pytest.mark.parametrize("layout", ["shared", "one_trunk"])
def test_roles_on_one_base_take_what_is_counted(layout: str) -> None:
    """Roles are really made; heads, a number for each of the hidden size, are not counted."""
    stage = PRETRAIN.model_copy(update={"vocabulary_size": 260})
    model = build(stage)
    adapter = add_adapter(model, LORA, task="CAUSAL_LM", seed=0)
    policy = Policy(model, tiny_tokenizer(), ChatFormat(tiny_tokenizer()), adapter)
    adapter.add("reward", LORA, seed=0)
    adapter.weights("reward").requires_grad_(False)
    if layout == "shared":
        fresh_value_model(policy, adapter, LORA, seed=0)
    trained = sum(4 * p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(4 * p.numel() for p in model.parameters() if not p.requires_grad)
    memory = memory_of(
        PPO.model_copy(update={"roles": layout, "lora": LORA}), pretrain_shape(stage), shares_reward=True
    )
    assert (memory.weights, memory.gradients, memory.moments) == (trained, trained, 2 * trained)
    assert memory.frozen == frozen


def test_what_roles_take_by_layout() -> None:
    """Against the table of `policy_roles`: P a model, A an adapter."""
    model = SHAPE.parameters * 4
    adapter = memory_of(SFT.model_copy(update={"lora": LORA})).weights
    shared = {"lora": LORA, "roles": "shared"}
    rloo = RLOOStage(kind="rloo", policy="a", reference="a", reward="r", prompts="p.jsonl", steps=1)
    for stage, changes, shares, trained, frozen in (
        (PPO, {}, False, 2 * model, 2 * model),
        (PPO, {"lora": LORA, "roles": "separate"}, False, 2 * adapter, 3 * model),
        (PPO, shared, True, 2 * adapter, model + adapter),
        (PPO, shared, False, 2 * adapter, 2 * model),
        (PPO, shared | {"reference": "b"}, True, 2 * adapter, 2 * model + adapter),
        (PPO, {"lora": LORA}, True, 2 * adapter, model + adapter),  # shared by itself
        (PPO, {"lora": LORA, "roles": "one_trunk"}, True, adapter, model + adapter),
        (PPO, {"roles": "one_trunk"}, False, model, 2 * model),
        (rloo, {"lora": LORA}, True, adapter, model + adapter),
        (rloo, {"lora": LORA, "roles": "separate"}, False, adapter, 2 * model),
    ):
        memory = memory_of(stage.model_copy(update=changes), shares_reward=shares)
        assert (memory.weights, memory.moments, memory.frozen) == (trained, 2 * trained, frozen), (stage.kind, changes)


def test_the_table_in_the_docs_is_what_the_formula_gives() -> None:
    """The shape of Llama 3 8B, rank 16: `docs/scale.md`."""
    shape = llama_shape(
        vocabulary_size=128256, hidden_size=4096, intermediate_size=14336, layers=32, key_value_size=1024, tied=False
    )
    text = (Path(__file__).parents[2] / "docs/scale.md").read_text(encoding="utf-8")
    lora = {"lora": LoRASection()}
    for name, changes, shares in (
        ("`separate`", {}, False),
        ("`separate`, `lora`", lora | {"roles": "separate"}, False),
        ("`shared`, `lora`", lora, True),
        ("`one_trunk`, `lora`", lora | {"roles": "one_trunk"}, True),
        ("`one_trunk`", {"roles": "one_trunk"}, False),
    ):
        memory = memory_of(PPO.model_copy(update=changes), shape, shares_reward=shares)
        parts = (memory.weights, memory.gradients, memory.moments, memory.frozen, memory.certain)
        assert f"| {name} | " + " | ".join(f"{part / GIB:.1f}" for part in parts) + " |" in text
    sft = memory_of(SFT.model_copy(update=lora), shape).certain
    assert f"| SFT with `lora`, to compare | | | | | {sft / GIB:.1f} |" in text


def test_offloaded_roles_are_there_for_a_visit_where_there_is_a_gpu() -> None:
    one = SHAPE.parameters * 4
    stage = PPO.model_copy(update={"offload": ["reference", "reward"]})
    assert memory_of(stage).frozen == 2 * one
    offloading = memory_of(stage, offloads=True)
    assert offloading.frozen == 0
    scoring = next(phase for phase in offloading.phases if phase.name == "scoring")
    assert (scoring.frozen, scoring.gradients) == (one, 0)
    assert memory_of(PPO.model_copy(update={"offload": ["reward"]}), offloads=True).frozen == one


@pytest.mark.parametrize(
    ("reward", "models"),
    [
        ({"kind": "service", "url": "http://127.0.0.1:8000"}, 0),
        ({"kind": "ensemble", "models": ["r", "s", "t"]}, 3),
        ([{"kind": "reward_model", "model": "r"}, {"kind": "ensemble", "models": ["r", "s"]}, {"kind": "rules"}], 2),
    ],
)
def test_every_reward_model_is_held_once_beside_the_reference(reward: Any, models: int) -> None:
    one = memory_of(SFTStage(kind="sft", data="d", steps=1)).weights
    ppo = PPOStage(kind="ppo", policy="a", reference="a", reward=reward, prompts="p.jsonl", steps=1)
    assert memory_of(ppo).frozen == (1 + models) * one


def test_canary_is_held_beside_them_and_once_where_it_pays_too() -> None:
    one = memory_of(SFTStage(kind="sft", data="d", steps=1)).weights
    plain = {"kind": "rloo", "policy": "a", "reference": "a", "reward": "r", "prompts": "p.jsonl", "steps": 1}
    other = {"kind": "ensemble", "models": ["r", "s"]}
    assert memory_of(RLOOStage(**plain, canary={"kind": "rules"})).frozen == 2 * one
    assert memory_of(RLOOStage(**plain, canary=other)).frozen == 3 * one


def test_dpo_holds_a_reference_that_is_not_its_own_start_and_an_evaluation_one_model() -> None:
    one = SHAPE.parameters * 4
    assert memory_of(DPOStage(kind="dpo", policy="a", reference="b", data="p.jsonl")).frozen == one
    assert memory_of(DPOStage(kind="dpo", policy="a", reference="a", data="p.jsonl")).frozen == 0
    judge = {"kind": "reward_model", "model": "r"}
    stage = EvaluateStage.model_validate(
        {"kind": "evaluate", "candidates": ["a"], "baseline": "b", "prompts": "p.jsonl", "judge": judge}
    )
    memory = memory_of(stage)
    assert memory.frozen == 2 * one and memory.weights == memory.moments == 0


def test_smaller_micro_batches_take_less_and_change_nothing_else() -> None:
    whole = memory_of(SFT, dtype="float32")
    cut = memory_of(SFT.model_copy(update={"micro_batch_size": 2}), dtype="float32")
    assert cut.activations * 3 == whole.activations and cut.certain == whole.certain


def test_where_a_server_samples_no_keys_and_values_are_held_here() -> None:
    sampler = VLLMSection(kind="vllm", url="http://127.0.0.1:8000", model="m", folder="/w")
    own = memory_of(PPO).phases[0]
    served = memory_of(PPO.model_copy(update={"sampler": sampler}))
    assert own.name == served.phases[0].name == "rollout"
    assert own.kv_cache > served.phases[0].kv_cache == 0


def test_a_prompt_is_counted_once_for_both_responses_where_lengths_are_known() -> None:
    dpo = DPOStage(kind="dpo", policy="a", reference="a", data="p.jsonl", micro_batch_size=1)
    told, untold = (
        stage_recipe(dpo, SHAPE, dtype="float32", tokens=1000, example_tokens=known) for known in (1200, None)
    )
    assert told is not None and untold is not None and (told.tokens, untold.tokens) == (1200, 2000)


def test_logits_are_counted_in_the_blocks_that_the_fused_head_takes() -> None:
    assert head_logps.BLOCK == LOGITS_AT_ONCE
    wide = llama_shape(vocabulary_size=10_000_000, hidden_size=8, intermediate_size=16, layers=1, tied=True)
    more = memory_of(SFT.model_copy(update={"batch_size": 12}), wide).activations - memory_of(SFT, wide).activations
    assert 0 < more < 100_000  # of the blocks alone


def test_checkpointed_activations_are_the_inputs_of_the_blocks_and_one_block() -> None:
    deep = llama_shape(vocabulary_size=100, hidden_size=8, intermediate_size=16, layers=20, tied=True)
    logits = (2 * 2 + 4) * 60 * 100  # six rows of ten tokens
    whole = memory_of(SFT, deep).activations - logits
    spared = memory_of(SFT.model_copy(update={"activation_checkpointing": True}), deep).activations - logits
    assert spared == whole // 20 + 20 * 60 * 8 * 4


def test_adapters_are_counted_as_peft_makes_them_and_carry_gradients_and_moments_alone() -> None:
    stage = PRETRAIN.model_copy(update={"vocabulary_size": 260})
    model = build(stage)
    add_adapter(model, LoRASection(rank=3), task="CAUSAL_LM", seed=0)
    adapters = sum(p.numel() for p in model.parameters() if p.requires_grad) * 4
    adapted = SFT.model_copy(update={"lora": LoRASection(rank=3)})
    memory = memory_of(adapted, pretrain_shape(stage))
    assert (memory.weights, memory.gradients, memory.moments) == (adapters, adapters, 2 * adapters)
    assert memory.frozen == pretrain_shape(stage).parameters * 4
    assert memory.activations == memory_of(SFT, pretrain_shape(stage)).activations


def test_reference_of_an_adapted_policy_takes_no_room_where_it_is_its_own_start() -> None:
    one = SHAPE.parameters * 4
    lora = LoRASection(rank=2)
    own = DPOStage(kind="dpo", policy="a", reference="a", data="p.jsonl", lora=lora)
    assert memory_of(own).frozen == one
    assert memory_of(own.model_copy(update={"reference": "b"})).frozen == 2 * one
    in_four_bits = own.model_copy(update={"quantization": "4bit"})  # but for embeddings and head
    outside = SHAPE.embedding_parameters
    expected = int((SHAPE.parameters - outside) * FOUR_BIT_BYTES) + 4 * outside
    assert memory_of(in_four_bits).frozen == expected


def test_a_gate_loads_no_model() -> None:
    assert stage_memory(GateStage(kind="gate", of="x"), SHAPE, dtype="bfloat16", tokens=10) is None
