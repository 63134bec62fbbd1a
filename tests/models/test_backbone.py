"""Roles on one base compute what models of their own would, and none disturbs another."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from boresight.config.sections import LoRASection
from boresight.data.chat_template import ChatFormat
from boresight.errors import ModelError
from boresight.models.activation_checkpointing import checkpoint_activations
from boresight.models.adapters import OWN, Adapter, add_adapter
from boresight.models.backbone import (
    REWARD,
    VALUE,
    AdaptedRewardModel,
    AdaptedStart,
    TrunkValue,
    adapted_reference,
    adapted_reward_model,
    fresh_value_model,
    value_model_on,
    with_room_for_a_value_model,
)
from boresight.models.heads import ScalarHeadModel, zero_head
from boresight.models.loading import save_model, scalar_head, start_reward_model
from boresight.models.precision import arithmetic
from boresight.models.response_logps import response_logps
from boresight.models.roles import FrozenPolicy, Policy, RewardModel, UnadaptedPolicy, ValueModel, score_rows
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from boresight.records import Message

from .families import CONFIGS, build
from .test_adapters import LORA, learn_something
from .test_hidden_states import rows_of

TOKENIZER = tiny_tokenizer()
CHAT = ChatFormat(TOKENIZER)
ROUNDING = 1e-4  # float32: merged weights are rounded once, B A x is added anew for every token
PROMPTS = [(Message("user", "How do I list pods?"),)] * 2 + [(Message("user", "Hello"),)]
RESPONSES = ["kubectl get pods", "", "Hello to you, too."]


def policy_on(model: PreTrainedModel) -> tuple[Policy, Adapter]:
    adapter = add_adapter(model, LORA, task="CAUSAL_LM", seed=0)
    return Policy(model.eval(), TOKENIZER, CHAT, adapter), adapter


def trained_scorer(base: PreTrainedModel, folder: Path, rank: int = 3) -> PreTrainedModel:
    """What a reward_model stage with adapters leaves behind: `folder/adapter`, and its merged model, returned."""
    save_model(folder / "base", base, TOKENIZER, "")
    scorer = start_reward_model(folder / "base", seed=1)
    adapter = add_adapter(scorer, LoRASection(rank=rank, alpha=2 * rank), task="SEQ_CLS", seed=3)
    learn_something(scorer)
    with torch.no_grad():
        scalar_head(scorer).weight.mul_(1.5)  # the head is trained as well
    adapter.save(folder / "adapter", "", None)
    return adapter.merge().eval()


def move(model: nn.Module, adapter: Adapter, name: str) -> None:
    """As an optimizer would: every trained weight of the adapter somewhere else."""
    generator = torch.Generator().manual_seed(len(name))
    with torch.no_grad():
        for parameter in adapter.weights(name).parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("family", CONFIGS)
def test_reward_and_value_on_the_base_equal_models_of_their_own(family: str, tmp_path: Path) -> None:
    merged = trained_scorer(build(family), tmp_path)
    policy, adapter = policy_on(build(family))
    reward = adapted_reward_model(policy, adapter, tmp_path / "adapter", TOKENIZER, CHAT)
    rows, lengths = [[5, 6, 7, 8], [5, 6, 7, 9, 10], [11, 12]], [3, 3, 1]
    with adapter.using(REWARD), torch.no_grad():
        scores = score_rows(reward.model, reward.head, rows, lengths)
    expected = score_rows(merged, scalar_head(merged), rows, lengths)
    torch.testing.assert_close(scores, expected.detach(), atol=ROUNDING, rtol=0)

    value = value_model_on(reward, mean=0.3, deviation=2.0)
    alone = ValueModel(ScalarHeadModel.from_reward_model(merged, scalar_head(merged), 0.3, 2.0))
    batch = rows_of(0, prompts=3, responses=2)
    torch.testing.assert_close(value.predict(*batch), alone.predict(*batch), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("family", CONFIGS)
def test_the_policy_does_not_notice_who_else_is_on_its_base(family: str, tmp_path: Path) -> None:
    trained_scorer(build(family), tmp_path)
    alone, _ = policy_on(build(family))
    policy, adapter = policy_on(build(family))
    for one in (alone, policy):
        learn_something(one.model)
    reward = adapted_reward_model(policy, adapter, tmp_path / "adapter", TOKENIZER, CHAT)
    value = value_model_on(reward, mean=0.0, deviation=1.0)
    batch = rows_of(0, prompts=3, responses=2)
    value.predict(*batch)
    assert torch.equal(policy.logps(*batch).logp, alone.logps(*batch).logp)
    move(policy.model, adapter, VALUE)
    assert torch.equal(policy.logps(*batch).logp, alone.logps(*batch).logp)


@pytest.mark.parametrize("family", CONFIGS)
def test_one_trunk_gives_the_logps_the_values_and_the_gradients_of_both_apart(family: str) -> None:
    policy = Policy(build(family), TOKENIZER, CHAT)
    value = TrunkValue(policy)
    nn.init.normal_(value.trained.weight, generator=torch.Generator().manual_seed(0))
    twin = copy.deepcopy(policy.model)
    head = copy.deepcopy(value.trained)
    batch = rows_of(0, prompts=3, responses=2)

    now, values = value.logps_and_values(*batch, temperature=0.7)
    (now.logp.sum() + values.square().sum()).backward()
    apart, alone = response_logps(twin, *batch, temperature=0.7), ValueModel(ScalarHeadModel(twin.base_model, head))
    expected = alone.predict(*batch)
    (apart.logp.sum() + expected.square().sum()).backward()

    assert torch.equal(now.logp, apart.logp)
    torch.testing.assert_close(values, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(value.predict(*batch), expected.detach(), atol=1e-5, rtol=0)
    for one, other in zip(policy.model.parameters(), twin.parameters(), strict=True):
        if other.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(value.trained.weight.grad, head.weight.grad, atol=1e-3, rtol=1e-4)


@pytest.fixture
def base() -> PreTrainedModel:
    return tiny_llama(TOKENIZER)


@pytest.fixture
def roles(base: PreTrainedModel, tmp_path: Path) -> tuple[Policy, Adapter, AdaptedRewardModel]:
    trained_scorer(copy.deepcopy(base), tmp_path)
    policy, adapter = policy_on(base)
    return policy, adapter, adapted_reward_model(policy, adapter, tmp_path / "adapter", TOKENIZER, CHAT)


def test_texts_are_scored_as_by_the_merged_model(base: PreTrainedModel, tmp_path: Path) -> None:
    alone = RewardModel(trained_scorer(copy.deepcopy(base), tmp_path), TOKENIZER, CHAT)
    policy, adapter = policy_on(base)
    reward = adapted_reward_model(policy, adapter, tmp_path / "adapter", TOKENIZER, CHAT)
    torch.testing.assert_close(reward.score(PROMPTS, RESPONSES), alone.score(PROMPTS, RESPONSES), atol=ROUNDING, rtol=0)


def test_in_bfloat16_the_roles_differ_from_the_merged_ones_by_its_rounding_alone(
    base: PreTrainedModel, tmp_path: Path
) -> None:
    alone = RewardModel(trained_scorer(copy.deepcopy(base), tmp_path), TOKENIZER, CHAT)
    policy, adapter = policy_on(base)
    reward = adapted_reward_model(policy, adapter, tmp_path / "adapter", TOKENIZER, CHAT)
    exact = alone.score(PROMPTS, RESPONSES)
    with arithmetic("bfloat16", "cpu"):
        rounded = reward.score(PROMPTS, RESPONSES)
        again = reward.score(PROMPTS, RESPONSES)
    assert torch.equal(rounded, again) and rounded.dtype == torch.float32
    assert 0.0 < float((rounded - exact).abs().max()) < 0.02 * float(exact.abs().max())  # 8 bits of mantissa


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("recomputed", [False, True])
def test_a_gradient_reaches_the_adapter_that_was_computed_with(
    recomputed: bool, roles: tuple[Policy, Adapter, AdaptedRewardModel]
) -> None:
    """The backward pass runs when the model computes as the policy again; recomputed blocks must not."""
    policy, adapter, reward = roles
    value = value_model_on(reward, mean=0.0, deviation=1.0)
    learn_something(policy.model)
    frozen = reward.fingerprint()
    batch = rows_of(0, prompts=3, responses=2)
    value.predict(*batch).square().sum().backward()
    expected = {name: grad.clone() for name, grad in gradients(value.trained).items()}
    assert len(expected) == len(list(value.trained.parameters()))
    assert gradients(policy.trained) == gradients(adapter.weights(REWARD)) == {}
    value.trained.zero_grad(set_to_none=True)
    if recomputed:
        checkpoint_activations(policy.model, adapter.as_now)
    values, logps = value.predict(*batch), policy.logps(*batch).logp
    (values.square().sum() + 0.0 * logps.sum()).backward()
    for name, grad in gradients(value.trained).items():
        assert torch.equal(grad, expected[name]), name
    assert len(gradients(policy.trained)) == len(list(policy.trained.parameters()))
    assert gradients(adapter.weights(REWARD)) == {} and reward.fingerprint() == frozen
    assert [name for name, p in policy.model.named_parameters() if p.grad is not None and ".lora_" not in name] == []


def test_whatever_happens_within_a_role_the_model_is_the_policy_again(
    roles: tuple[Policy, Adapter, AdaptedRewardModel],
) -> None:
    policy, adapter, _ = roles
    policy.model.train()
    batch = rows_of(0, prompts=2, responses=1)
    before = policy.logps(*batch).logp
    trained = [name for name, p in policy.model.named_parameters() if p.requires_grad]
    with pytest.raises(RuntimeError, match="in the middle"), adapter.using(REWARD):
        assert not policy.model.training
        with adapter.off():
            pass
        raise RuntimeError("in the middle")
    assert torch.equal(policy.logps(*batch).logp, before) and policy.model.training
    assert [name for name, p in policy.model.named_parameters() if p.requires_grad] == trained
    policy.model.eval()
    with adapter.off():
        pass
    assert not policy.model.training


def test_reference_of_a_policy_that_goes_on_with_an_adapter_is_a_copy_that_stays(base: PreTrainedModel) -> None:
    plain = FrozenPolicy(copy.deepcopy(base), TOKENIZER, CHAT)
    policy, adapter = policy_on(base)
    assert isinstance(adapted_reference(policy, adapter), UnadaptedPolicy)
    learn_something(policy.model)
    reference = adapted_reference(policy, adapter)
    assert isinstance(reference, AdaptedStart)
    batch = rows_of(0, prompts=3, responses=2)
    start, fingerprint = policy.logps(*batch).logp.detach(), reference.fingerprint()
    assert torch.equal(reference.logps(*batch).logp, start)
    move(policy.model, adapter, OWN)
    found = reference.logps(*batch).logp
    assert torch.equal(found, start) and not found.requires_grad
    assert not torch.equal(found, policy.logps(*batch).logp) and not torch.equal(found, plain.logps(*batch).logp)
    assert reference.fingerprint() == fingerprint != UnadaptedPolicy(policy, adapter).fingerprint()
    sampled = reference.generate(
        [[5, 6, 7]], temperatures=[1.0], max_new_tokens=6, stop_token_ids=[0], batch_size=1,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert len(sampled[0].token_ids) > 0
    with torch.no_grad():
        next(adapter.weights("reference").parameters()).add_(1.0)
    assert reference.fingerprint() != fingerprint


def test_a_value_model_from_nothing_begins_at_zero_and_leaves_the_policy_alone(base: PreTrainedModel) -> None:
    policy, adapter = policy_on(base)
    value = fresh_value_model(policy, adapter, LORA, seed=0)
    batch = rows_of(0, prompts=2, responses=2)
    assert not value.predict(*batch).any()
    assert {p.data_ptr() for p in value.parameters()}.isdisjoint(p.data_ptr() for p in policy.trained.parameters())
    assert all(p.requires_grad for p in (*value.parameters(), *policy.trained.parameters()))


def test_a_reward_model_of_another_base_is_frozen_under_the_value_model_that_is_an_adapter_in_it(
    base: PreTrainedModel, tmp_path: Path
) -> None:
    alone = RewardModel(trained_scorer(copy.deepcopy(base), tmp_path), TOKENIZER, CHAT)
    expected = alone.score(PROMPTS, RESPONSES)
    reward = with_room_for_a_value_model(alone, LORA, seed=0)
    fingerprint = reward.fingerprint()
    value = value_model_on(reward, mean=0.0, deviation=1.0)
    learn_something(value.model)
    assert torch.equal(reward.score(PROMPTS, RESPONSES), expected) and reward.fingerprint() == fingerprint
    value.predict(*rows_of(0, prompts=2, responses=1)).sum().backward()
    assert len(gradients(value.trained)) == len(list(value.trained.parameters()))
    assert not any(p.requires_grad for p in reward.head.parameters())


@pytest.mark.parametrize("other", ["gpt2", "llama"])  # other names of layers, other widths
def test_adapters_of_another_base_are_refused(other: str, base: PreTrainedModel, tmp_path: Path) -> None:
    trained_scorer(build(other), tmp_path)
    policy, adapter = policy_on(base)
    with pytest.raises(ModelError, match="do not fit into the layers of LlamaForCausalLM as it is here"):
        adapted_reward_model(policy, adapter, tmp_path / "adapter", TOKENIZER, CHAT)


def test_an_adapter_without_a_scalar_head_is_no_reward_model(base: PreTrainedModel, tmp_path: Path) -> None:
    policy, adapter = policy_on(base)
    adapter.save(tmp_path / "adapter", "", None)
    with pytest.raises(ModelError, match="0 scalar heads beside the adapters"):
        adapted_reward_model(policy, adapter, tmp_path / "adapter", TOKENIZER, CHAT)


def test_saved_adapter_and_merged_model_are_the_policys_alone(
    roles: tuple[Policy, Adapter, AdaptedRewardModel], tmp_path: Path
) -> None:
    policy, adapter, reward = roles
    value_model_on(reward, mean=0.0, deviation=1.0)
    learn_something(policy.model)
    alone, own = policy_on(tiny_llama(TOKENIZER))
    adapter.save(tmp_path / "saved", "", None)
    own.load(tmp_path / "saved")
    batch = rows_of(0, prompts=2, responses=2)
    assert torch.equal(alone.logps(*batch).logp, policy.logps(*batch).logp)
    before = policy.logps(*batch).logp.detach()
    merged = adapter.merge()
    assert [name for name, _ in merged.named_parameters()] == [n for n, _ in tiny_llama(TOKENIZER).named_parameters()]
    torch.testing.assert_close(response_logps(merged, *batch).logp.detach(), before, atol=ROUNDING, rtol=0)


def test_a_zero_head_says_zero() -> None:
    assert not zero_head(4)(torch.ones(2, 4)).any()
