"""Adapters begin as nothing, learn alone, and are a plain model once merged."""

import copy
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn

from boresight.config.sections import LoRASection
from boresight.data.chat_template import ChatFormat
from boresight.errors import ModelError
from boresight.models.adapters import Adapter, add_adapter, merge_saved, refuse_new_tokens
from boresight.models.loading import (
    chat_format,
    load_causal_lm,
    load_tokenizer,
    save_model,
    scalar_head,
    start_reward_model,
)
from boresight.models.quantization import quantized_loading
from boresight.models.response_logps import response_logps
from boresight.models.roles import FrozenPolicy, Policy, UnadaptedPolicy, fingerprint, score_rows
from boresight.models.tiny import tiny_llama, tiny_tokenizer

from .families import CONFIGS, build
from .test_hidden_states import rows_of

LORA = LoRASection(rank=4, alpha=8)


def logps(model: nn.Module) -> Tensor:
    return response_logps(model, *rows_of(0, prompts=3, responses=2)).logp  # type: ignore[arg-type]


def learn_something(model: nn.Module) -> None:
    """Adapters as after some training: B is no longer zero."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("family", CONFIGS)
def test_untrained_adapters_change_no_bit_of_the_log_probabilities(family: str) -> None:
    model = build(family)
    before = logps(model)
    add_adapter(model, LORA, task="CAUSAL_LM", seed=0)
    assert torch.equal(logps(model), before)


@pytest.mark.parametrize("family", CONFIGS)
def test_gradients_reach_adapters_alone_and_all_of_them(family: str) -> None:
    model = build(family)
    add_adapter(model, LORA, task="CAUSAL_LM", seed=0)
    learn_something(model)  # at B = 0 the gradient of A is zero
    logps(model).sum().backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and bool(p.grad.any())}
    assert reached == {name for name, _ in model.named_parameters() if ".lora_" in name} != set()


@pytest.mark.parametrize("family", CONFIGS)
def test_merged_model_computes_what_the_adapted_one_did(family: str) -> None:
    model = build(family)
    adapter = add_adapter(model, LORA, task="CAUSAL_LM", seed=0)
    before = logps(model)
    learn_something(model)
    adapted = logps(model)
    merged = adapter.merge()
    torch.testing.assert_close(logps(merged), adapted, atol=1e-4, rtol=0)
    assert float((adapted - before).detach().abs().max()) > 0.01
    assert [name for name, _ in merged.named_parameters()] == [name for name, _ in build(family).named_parameters()]


def test_the_update_is_alpha_over_rank_times_b_a() -> None:
    model = build("llama")
    layer = model.get_submodule("model.layers.0.self_attn.q_proj")
    before = layer.weight.detach().clone()
    adapter = add_adapter(model, LoRASection(rank=4, alpha=12), task="CAUSAL_LM", seed=0)
    learn_something(model)
    parts = dict(model.named_parameters())
    a, b = (parts[f"model.layers.0.self_attn.q_proj.lora_{side}.default.weight"].detach() for side in "AB")
    assert a.shape[0] == b.shape[1] == 4
    adapter.merge()
    after = model.get_submodule("model.layers.0.self_attn.q_proj").weight.detach()
    torch.testing.assert_close(after - before, 12 / 4 * b @ a, atol=1e-6, rtol=1e-4)


def test_adapters_begin_from_their_seed_alone() -> None:
    def begin(seed: int) -> str:
        model = build("llama")
        torch.rand(seed + 3)  # the state of the global generator is not theirs
        add_adapter(model, LORA, task="CAUSAL_LM", seed=seed)
        return fingerprint(model)

    state = torch.get_rng_state()
    assert begin(0) == begin(0) != begin(1)
    torch.set_rng_state(state)


@pytest.fixture
def policy() -> Policy:
    tokenizer = tiny_tokenizer()
    model = tiny_llama(tokenizer)
    adapter = add_adapter(model, LORA, task="CAUSAL_LM", seed=0)
    return Policy(model.train(), tokenizer, ChatFormat(tokenizer), adapter)


def test_model_under_the_adapter_is_the_reference_the_policy_started_from(policy: Policy) -> None:
    assert policy.adapter is not None
    plain = FrozenPolicy(tiny_llama(policy.tokenizer), policy.tokenizer, policy.chat)
    under = UnadaptedPolicy(policy, policy.adapter)
    learn_something(policy.model)
    batch = rows_of(1, prompts=2, responses=2)
    found = under.logps(*batch)
    assert torch.equal(found.logp, plain.logps(*batch).logp) and not found.logp.requires_grad
    assert not torch.equal(policy.logps(*batch).logp, found.logp)
    assert under.fingerprint() == plain.fingerprint()
    assert policy.model.training  # as it was before it was asked
    assert any(p.requires_grad for p in policy.parameters())


def test_model_under_the_adapter_samples_as_the_plain_one(policy: Policy) -> None:
    assert policy.adapter is not None
    plain = FrozenPolicy(tiny_llama(policy.tokenizer), policy.tokenizer, policy.chat)
    under = UnadaptedPolicy(policy, policy.adapter)
    learn_something(policy.model)

    def sampled(role: FrozenPolicy | Policy) -> list[list[int]]:
        made = role.generate(
            [[5, 6, 7], [8, 9]], temperatures=[1.0, 1.0], max_new_tokens=8, stop_token_ids=[0], batch_size=2,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        return [generation.token_ids for generation in made]

    assert sampled(under) == sampled(plain) != sampled(policy)


def saved(folder: Path, adapter: Adapter) -> Iterator[tuple[str, bytes]]:
    adapter.save(folder, "card", None)
    return ((file.name, file.read_bytes()) for file in sorted(folder.iterdir()))


def test_saved_adapter_is_loaded_by_peft_and_names_no_place_of_this_machine(policy: Policy, tmp_path: Path) -> None:
    assert policy.adapter is not None
    save_model(tmp_path / "base", tiny_llama(policy.tokenizer), policy.tokenizer, "card")
    learn_something(policy.model)
    files = dict(saved(tmp_path / "adapter", policy.adapter))
    assert set(files) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    config = json.loads(files["adapter_config.json"])
    assert config["base_model_name_or_path"] is None and config["target_modules"] == sorted(config["target_modules"])
    assert str(tmp_path).encode() not in b"".join(files.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is about to change
        loaded = PeftModel.from_pretrained(load_causal_lm(tmp_path / "base"), tmp_path / "adapter")
    policy.model.eval()
    assert torch.equal(logps(loaded.base_model.model), logps(policy.model))
    merged = merge_saved(load_causal_lm(tmp_path / "base"), tmp_path / "adapter")
    assert torch.equal(logps(merged), logps(policy.adapter.merge()))


@pytest.mark.parametrize("rank", [1, 4])
def test_reward_model_trains_its_head_beside_the_adapters(rank: int, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    save_model(tmp_path / "base", tiny_llama(tokenizer), tokenizer, "card")
    plain, model = (start_reward_model(tmp_path / "base", seed=0) for _ in range(2))
    adapter = add_adapter(model, LoRASection(rank=rank), task="SEQ_CLS", seed=0)
    rows, prompts = [[5, 6, 7, 8], [5, 6, 9]], [2, 2]
    before = score_rows(plain, scalar_head(plain), rows, prompts)
    assert torch.equal(score_rows(model, scalar_head(model), rows, prompts), before)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name for name in trained if ".lora_" not in name} == {"score.modules_to_save.default.weight"}
    learn_something(model)
    with torch.no_grad():
        scalar_head(model).weight.mul_(2.0)
    adapted = score_rows(model, scalar_head(model), rows, prompts).detach()
    adapter.save(tmp_path / "adapter", "card", None)
    merged = adapter.merge()
    torch.testing.assert_close(score_rows(merged, scalar_head(merged), rows, prompts), adapted, atol=1e-5, rtol=0)
    again = merge_saved(start_reward_model(tmp_path / "base", seed=1), tmp_path / "adapter")
    assert fingerprint(again) == fingerprint(merged)  # the head is part of the saved adapter


def test_layers_that_the_model_does_not_have_are_refused() -> None:
    with pytest.raises(ModelError, match=r"lora\.target_modules: \['query'\] fits no layer of LlamaForCausalLM"):
        add_adapter(build("llama"), LoRASection(target_modules=["query"]), task="CAUSAL_LM", seed=0)


@pytest.mark.parametrize("place", ["lm_head", "embed_tokens"])
def test_half_of_a_table_that_is_embeddings_and_head_is_refused(place: str) -> None:
    settings = LoRASection(target_modules=["q_proj", place])
    model = tiny_llama(tiny_tokenizer())
    apart = copy.deepcopy(model.config)
    apart.tie_word_embeddings = False
    with pytest.raises(ModelError, match=r"names the embeddings or the output head .* one table here .* Leave it out"):
        add_adapter(model, settings, task="CAUSAL_LM", seed=0)
    add_adapter(type(model)(apart), settings, task="CAUSAL_LM", seed=0)


def test_tokens_that_the_model_has_never_seen_are_refused(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    save_model(tmp_path / "base", tiny_llama(tokenizer), tokenizer, "card")
    refuse_new_tokens(tmp_path / "base", tokenizer)
    other = load_tokenizer(tmp_path / "base")
    chat_format(other, "llama3")
    with pytest.raises(ModelError, match=r"base: the chat template adds \d tokens .* Begin with an sft stage without"):
        refuse_new_tokens(tmp_path / "base", other)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_quantization_without_a_cuda_device_says_what_is_missing_and_what_to_do() -> None:
    assert quantized_loading(None) == {}
    with pytest.raises(ModelError, match=r"quantization: 4bit: there is no CUDA device here\. .* lora alone runs any"):
        quantized_loading("4bit")


def test_router_that_gives_more_than_one_tensor_gets_no_adapter() -> None:
    model = build("phimoe")
    before = logps(model)
    adapter = add_adapter(model, LORA, task="CAUSAL_LM", seed=0)
    assert torch.equal(logps(model), before)
    adapted = {name.split("/")[-2] for name, _ in adapter.weights("default").named_parameters()}
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj"}
