"""The roles of the stages that sample from their policy: four models, or adapters and heads on one base.

Which of them share a base is read off the pipeline: a reward model that a stage trained as an adapter of the model that
the policy starts from, or of the model that the policy's own adapter stands on, loads straight into the policy's base.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from boresight.config.policy_stages import VLLMSection
from boresight.config.reward_sections import reward_models
from boresight.config.sections import PolicyStage, PPOStage
from boresight.models.backbone import (
    AdaptedRewardModel,
    AdaptedValueModel,
    TrunkValue,
    adapted_reward_model,
    fresh_value_model,
    value_model_on,
    with_room_for_a_value_model,
)
from boresight.models.generate import generate
from boresight.models.loading import chat_format, default_device, load_tokenizer
from boresight.models.offload import OffloadedPolicy, OffloadedRewardModel
from boresight.models.roles import (
    FrozenPolicy,
    Policy,
    RewardModel,
    UnadaptedPolicy,
    ValueModel,
    build_reward_model,
    refuse_another_vocabulary,
)
from boresight.pipeline.check_lineage import is_adapter_of, shared_base
from boresight.pipeline.context import StageContext
from boresight.pipeline.reward_roles import RewardRole, load_reward
from boresight.pipeline.trained_models import frozen_reference, policy_to_spread, separate_value_model, spare_memory
from boresight.records import Prompt
from boresight.training.experience import RewardScale
from boresight.training.shares import SharedPolicy, SharedRewardModel, Shares
from boresight.training.vllm_sampler import VLLMSampler


@dataclass(frozen=True, slots=True)
class PolicyRoles:
    """`base` is the stage whose model the policy is, its adapter aside; `said` is for the stage's result."""

    policy: Policy
    reference: FrozenPolicy
    reward: RewardRole
    canary: RewardRole | None
    base: str
    layout: str
    said: dict[str, str]


def load_policy_roles(context: StageContext, config: PolicyStage, prompts: Sequence[Prompt]) -> PolicyRoles:
    """Policy, reference and reward in the layout that `roles` asks for; where each lies is said."""
    base = shared_base(context.pipeline, config) or config.policy
    policy = policy_to_spread(context, config, base)
    said = {"layout": config.layout}
    if config.sampler is not None:
        policy.sampler = vllm_sampler(config.sampler, policy)
        said["sampler"] = f"vLLM at {config.sampler.url}"
    if context.remote is not None:
        policy.begin_elsewhere = context.remote.begin_rollouts(
            context.identity.key, context.model_path(base), context.chat_template(base), config.lora, policy
        )
        said["sampler"] = "actors of their own"
    if context.processes.count > 1:
        _divide_rollouts(context, policy)
    if policy.adapter is not None and base != config.policy:
        policy.adapter.load(context.stage_file(config.policy, "adapter"))
        said["policy"] = f"goes on with the adapter of {config.policy} on {base}"
    if config.layout == "separate":  # nothing more is put into its model
        context.processes.shard_policy(policy.model)
    reference = _reference(context, config, policy, base)

    built: dict[str, RewardModel] = {}  # a canary may have a model in common with an ensemble that pays

    def build(stage: str) -> RewardModel:
        if stage not in built:
            built[stage], said[f"reward model {stage}"] = load_reward_model(context, config, policy, base, stage)
        return built[stage]

    reward = load_reward(context, config.reward, prompts, build)
    canary = None if config.canary is None else load_reward(context, config.canary, prompts, build)
    for role, where in said.items():
        context.say(f"roles: {role}: {where}")
    return PolicyRoles(policy, reference, reward, canary, base, config.layout, said)


def spread_shared_models(context: StageContext, roles: PolicyRoles, value: ValueModel | TrunkValue | None) -> None:
    """Spread over the processes the models that several roles stand on, now that all are in them."""
    processes = context.processes
    if roles.layout != "separate":
        processes.shard_policy(roles.policy.model)
    for reward in roles.reward.models.values():
        if isinstance(reward, AdaptedRewardModel) and reward.model is not roles.policy.model:
            processes.shard_reward_model(reward.model, reward.head)
    if isinstance(value, TrunkValue):
        processes.shard_head(value.trained)
    elif isinstance(value, AdaptedValueModel):
        processes.shard_head(value.model.head)


def _divide_rollouts(context: StageContext, policy: Policy) -> None:
    """Who writes the responses of a policy that all processes have parts of: each its share; actors for the first."""
    shares = Shares(context.processes, policy.model)
    policy.sampler = partial(shares.generations, partial(generate, policy.model))
    if policy.begin_elsewhere is not None:
        policy.begin_elsewhere = partial(shares.begun, policy.begin_elsewhere)


def vllm_sampler(section: VLLMSection, policy: Policy) -> VLLMSampler:
    """The server that writes a policy's responses."""
    return VLLMSampler(
        section.url,
        section.model,
        policy.model,
        Path(section.folder),
        most_at_once=section.most_at_once,
        timeout=section.timeout_seconds,
        patience=section.patience_seconds,
    )


def load_value_model(
    context: StageContext, config: PPOStage, roles: PolicyRoles, scale: RewardScale
) -> ValueModel | TrunkValue:
    """The value model that `roles` and `value_start` ask for; its head is trained whole."""
    if config.roles == "one_trunk":
        return TrunkValue(roles.policy)
    if config.layout == "separate" or config.lora is None or roles.policy.adapter is None:
        return separate_value_model(context, config, roles.policy, mean=scale.mean, deviation=scale.deviation)
    first = next(iter(reward_models(config.reward)), None)
    start = roles.reward.models[first] if first is not None else None
    if config.value_source == "policy" or first is None or not isinstance(start, AdaptedRewardModel):
        return fresh_value_model(roles.policy, roles.policy.adapter, config.lora, context.seed)
    refuse_another_vocabulary(context.model_path(first), start.tokenizer, roles.policy)
    value = value_model_on(start, mean=scale.mean, deviation=scale.deviation)
    if start.adapter is not roles.policy.adapter:
        spare_memory(value.model.body, config, start.adapter)
    return value


def load_reward_model(
    context: StageContext, config: PolicyStage, policy: Policy, base: str, stage: str
) -> tuple[RewardModel, str]:
    """The reward model of a stage, on the policy's base where it is an adapter of that; and where it lies."""
    folder = context.stage_file(stage, "model")
    shares = config.layout != "separate" and is_adapter_of(context.pipeline, stage, base, config.quantization)
    if shares and policy.adapter is not None:
        tokenizer = load_tokenizer(folder)
        chat = chat_format(tokenizer, "tokenizer")
        saved = context.stage_file(stage, "adapter")
        reward = adapted_reward_model(policy, policy.adapter, saved, tokenizer, chat, name=f"reward_{stage}")
        return reward, f"the adapter of {stage} on {base}"
    if context.remote is not None:
        remote = context.remote.reward_model(context.identity.key, str(folder))
        told = SharedRewardModel(remote, Shares(context.processes, first_alone=True))
        return remote if context.processes.count == 1 else told, "actors of their own"
    alone = _offloaded_reward(config, build_reward_model(folder, device=default_device()))
    if config.layout == "separate" or config.lora is None:
        context.processes.shard_reward_model(alone.model, alone.head)
        return alone, "a model of its own"
    where = f"a model of its own, since {stage} is no adapter of what the policy stands on"
    if isinstance(config, PPOStage) and config.roles != "one_trunk" and config.value_source == "reward":
        if stage != reward_models(config.reward)[0]:
            context.processes.shard_reward_model(alone.model, alone.head)
            return alone, where
        where += "; the value model is an adapter in it"
        return with_room_for_a_value_model(alone, config.lora, context.seed), where
    context.processes.shard_reward_model(alone.model, alone.head)
    return alone, where


def _reference(context: StageContext, config: PolicyStage, policy: Policy, base: str) -> FrozenPolicy:
    several = context.processes.count > 1
    if context.remote is None:
        reference = _offloaded_reference(context, config, frozen_reference(context, config, policy, base))
        return SharedPolicy(reference, Shares(context.processes, reference.model)) if several else reference
    path, template = context.model_path(config.reference), context.chat_template(config.reference)
    remote = context.remote.reference(context.identity.key, path, template)
    return SharedPolicy(remote, Shares(context.processes, first_alone=True)) if several else remote


def _offloaded_reference(context: StageContext, config: PolicyStage, reference: FrozenPolicy) -> FrozenPolicy:
    """The same, waiting on the CPU where `offload` says so."""
    device = default_device()
    if config.offload and device == "cpu":
        context.say("offload: there is no GPU here, so everything is in the memory of the CPU anyway")
        return reference
    if "reference" not in config.offload:
        return reference
    if isinstance(reference, UnadaptedPolicy):
        context.say("offload: the reference is the policy's own weights and takes no room of its own")
        return reference
    return OffloadedPolicy(reference, device)


def _offloaded_reward(config: PolicyStage, reward: RewardModel) -> RewardModel:
    device = default_device()
    return OffloadedRewardModel(reward, device) if "reward" in config.offload and device != "cpu" else reward
