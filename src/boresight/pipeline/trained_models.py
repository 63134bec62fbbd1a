"""The models that a stage trains, made and saved as its settings want: all weights or adapters in them, activations
kept or computed again, in one process or over several. The loops see none of it."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from boresight.config.reward_sections import reward_models
from boresight.config.sections import (
    DPOStage,
    KTOStage,
    OptimizedStage,
    PolicyStage,
    PPOStage,
    RewardModelStage,
    TextStage,
)
from boresight.config.several_processes import refuse_what_is_for_one
from boresight.models.activation_checkpointing import checkpoint_activations
from boresight.models.adapters import Adapter, add_adapter, merge_saved, refuse_new_tokens
from boresight.models.backbone import adapted_reference
from boresight.models.heads import ScalarHeadModel
from boresight.models.lean_modules import make_lean
from boresight.models.loading import (
    default_device,
    fit_to_tokenizer,
    save_model,
    saved_vocabulary_size,
    scalar_head,
    start_reward_model,
)
from boresight.models.quantization import quantized_loading
from boresight.models.roles import (
    FrozenPolicy,
    Policy,
    StartingPolicy,
    UnadaptedPolicy,
    ValueModel,
    build_frozen_policy,
    build_policy,
    build_value_model,
)
from boresight.pipeline.context import BASE_MODEL, StageContext
from boresight.pipeline.model_card import model_card


def trained_policy(context: StageContext, config: TextStage | PolicyStage, start: str) -> Policy:
    """The model of the stage `start`, to be trained; spread over the processes that build the stage."""
    policy = policy_to_spread(context, config, start)
    context.processes.shard_policy(policy.model)
    return policy


def policy_to_spread(context: StageContext, config: TextStage | PolicyStage, start: str) -> Policy:
    """The same, not yet spread: more may be put into the model first."""
    refuse_what_is_for_one(context.pipeline, context.processes.count, context.name)
    policy = _unsharded_policy(context, config, start)
    _tell_new_tokens(context, start, policy.tokenizer)
    return policy


def frozen_reference(
    context: StageContext, config: DPOStage | KTOStage | PolicyStage, policy: Policy, base: str | None = None
) -> FrozenPolicy:
    """The anchor. Where a policy with an adapter starts as its own reference, that is the model under the adapter, or
    under a frozen copy of the adapter where it goes on with one on the model of the stage `base`."""
    base = base or config.policy
    if policy.adapter is not None and config.reference == base:
        context.say(f"reference: {config.reference}, the policy's own weights with the adapter switched off")
        return UnadaptedPolicy(policy, policy.adapter)
    if policy.adapter is not None and config.reference == config.policy:
        context.say(f"reference: {config.reference}, a frozen copy of the adapter that the policy starts from")
        return adapted_reference(policy, policy.adapter)
    path, template = context.model_path(config.reference), context.chat_template(config.reference)
    reference = build_frozen_policy(path, template, default_device())
    context.processes.shard_policy(reference.model)
    return reference


def starting_reference(context: StageContext, config: DPOStage, policy: Policy) -> FrozenPolicy:
    """The anchor of what is computed once, before the first update: a policy that starts as its own reference is that
    itself, and no second copy is loaded."""
    if policy.adapter is None and config.policy == config.reference:
        context.say(f"reference: {config.reference}, the policy itself before its first update")
        return StartingPolicy(policy)
    return frozen_reference(context, config, policy)


def trained_reward_model(
    context: StageContext, config: RewardModelStage, tokenizer: PreTrainedTokenizerBase
) -> tuple[PreTrainedModel, Adapter | None]:
    """The model of the stage `config.start` with a fresh head, to be trained; spread over the processes."""
    refuse_what_is_for_one(context.pipeline, context.processes.count, context.name)
    model, adapter = _unsharded_reward_model(context, config, tokenizer)
    _tell_new_tokens(context, config.start, tokenizer)
    context.processes.shard_reward_model(model, scalar_head(model))
    return model, adapter


def separate_value_model(
    context: StageContext, config: PPOStage, policy: Policy, *, mean: float, deviation: float
) -> ValueModel:
    """A value model with a body of its own; adapted like the policy, its head trained whole."""
    value = build_value_model(
        context.model_path(reward_models(config.reward)[0] if config.value_source == "reward" else config.policy),
        start=config.value_source,
        policy=policy,
        mean=mean,
        deviation=deviation,
        device=default_device(),
    )
    if config.lora is not None:
        add_adapter(value.model.body, config.lora, task="FEATURE_EXTRACTION", seed=context.seed)
    spare_memory(value.model, config)
    context.processes.shard_value_model(value.model.body, value.model.head)
    return value


def spare_memory(
    model: PreTrainedModel | ScalarHeadModel, config: OptimizedStage, adapter: Adapter | None = None
) -> None:
    """Keep less for the backward pass; recompute activations where the stage says so, under the adapters that they were
    computed with."""
    make_lean(model.body if isinstance(model, ScalarHeadModel) else model.base_model)
    if config.activation_checkpointing:
        checkpoint_activations(model, nullcontext if adapter is None else adapter.as_now)


def save_policy(context: StageContext, policy: Policy, start: str) -> dict[str, Any]:
    """Write `model/`, and of an adapted policy `adapter/`; returns what the stage's result says of it.

    `start` is the stage whose model the policy was loaded from.
    """
    said = _trained_share(policy.model, policy.trained, policy.adapter)
    state = context.processes.whole_state(policy.model)
    if not context.processes.first:
        return said
    if state is not None:
        config = context.config
        assert isinstance(config, TextStage | PolicyStage)
        policy = _unsharded_policy(context, config, start, "cpu")
        own = policy.model.state_dict().keys()  # adapters of other roles have no place in it
        policy.model.load_state_dict({name: state[name] for name in own})

    def plain() -> PreTrainedModel:
        return build_policy(context.model_path(start), context.chat_template(start)).model

    model = _merged(context, policy.model, policy.adapter, start, plain)
    save_model(context.folder / "model", model, policy.tokenizer, model_card(context))
    return said


def save_reward_model(
    context: StageContext,
    config: RewardModelStage,
    model: PreTrainedModel,
    adapter: Adapter | None,
    tokenizer: PreTrainedTokenizerBase,
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The same for a reward model; the model that was saved comes back, for its certificate."""
    said = _trained_share(model, model, adapter)
    state = context.processes.whole_state(model)
    if not context.processes.first:
        return model, said
    if state is not None:
        model, adapter = _unsharded_reward_model(context, config, tokenizer, "cpu")
        model.load_state_dict(state)

    def plain() -> PreTrainedModel:
        return _plain_reward_model(context, config, tokenizer)

    merged = _merged(context, model, adapter, config.start, plain).to(default_device())
    merged.config.pad_token_id = tokenizer.pad_token_id
    save_model(context.folder / "model", merged, tokenizer, model_card(context))
    return merged, said


def _tell_new_tokens(context: StageContext, start: str, tokenizer: PreTrainedTokenizerBase) -> None:
    path = context.model_path(start)
    new = len(tokenizer) - saved_vocabulary_size(path)
    if new > 0:
        context.say(f"tokens that are new to {path}: {new}; their embeddings begin as the mean of the others")


def _unsharded_policy(
    context: StageContext, config: TextStage | PolicyStage, start: str, device: str | None = None
) -> Policy:
    policy = build_policy(
        context.model_path(start),
        context.chat_template(start),
        device or default_device(),
        lora=config.lora,
        quantization=config.quantization,
        seed=context.seed,
    )
    spare_memory(policy.model, config, policy.adapter)
    return policy


def _unsharded_reward_model(
    context: StageContext, config: RewardModelStage, tokenizer: PreTrainedTokenizerBase, device: str | None = None
) -> tuple[PreTrainedModel, Adapter | None]:
    device = device or default_device()
    if config.lora is None:
        model = _plain_reward_model(context, config, tokenizer).to(device)
        spare_memory(model, config)
        return model, None
    path = context.model_path(config.start)
    refuse_new_tokens(path, tokenizer)
    model = start_reward_model(path, context.seed, **quantized_loading(config.quantization))
    fit_to_tokenizer(model, tokenizer)
    model = model if config.quantization else model.to(device)
    adapter = add_adapter(model, config.lora, task="SEQ_CLS", seed=context.seed)
    spare_memory(model, config)
    return model, adapter


def _plain_reward_model(
    context: StageContext, config: RewardModelStage, tokenizer: PreTrainedTokenizerBase
) -> PreTrainedModel:
    model = start_reward_model(context.model_path(config.start), context.seed)
    fit_to_tokenizer(model, tokenizer)
    return model


def _merged(
    context: StageContext,
    model: PreTrainedModel,
    adapter: Adapter | None,
    start: str,
    plain: Callable[[], PreTrainedModel],
) -> PreTrainedModel:
    """What is saved as `model/`; adapters on 4-bit weights are merged into the weights those were made from."""
    if adapter is None:
        return model
    path = context.model_path(start)
    hub_name = path if start == BASE_MODEL and not Path(path).exists() else None
    adapter.save(context.folder / "adapter", model_card(context), hub_name)
    if getattr(context.config, "quantization", None):
        return merge_saved(plain(), context.folder / "adapter")
    return adapter.merge()


def _trained_share(model: PreTrainedModel, trained: nn.Module, adapter: Adapter | None) -> dict[str, Any]:
    if adapter is None:
        return {}
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": sum(p.numel() for p in trained.parameters() if p.requires_grad),
    }
