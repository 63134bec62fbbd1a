"""A stage of a pipeline file as a recipe: the memory of this package's own loops."""

import math
from dataclasses import replace

from boresight.config.reward_sections import models_of
from boresight.config.section_bases import BatchedStage, OptimizedStage
from boresight.config.sections import (
    AdaptedStage,
    DPOStage,
    EvaluateStage,
    KTOStage,
    PolicyStage,
    PPOStage,
    PreferenceStage,
    RewardModelJudge,
    RewardModelStage,
    SampleStage,
    StageSection,
)
from boresight.planning.memory import Memory, memory_of
from boresight.planning.numbers import FORMATS
from boresight.planning.recipe import Recipe, Roles, Rollout
from boresight.planning.shapes import ModelShape

ROLLOUT_ROWS = 128
"""Responses that a stage which samples from its policy decodes at once."""


def stage_memory(
    stage: StageSection,
    shape: ModelShape,
    *,
    dtype: str,
    tokens: int,
    shares_reward: bool = False,
    offloads: bool = False,
) -> Memory | None:
    """Memory of a stage by phase; None for a stage that loads no model. Options as for `stage_recipe`."""
    recipe = stage_recipe(stage, shape, dtype=dtype, tokens=tokens, shares_reward=shares_reward, offloads=offloads)
    return None if recipe is None else memory_of(recipe)


def stage_recipe(
    stage: StageSection,
    shape: ModelShape,
    *,
    dtype: str,
    tokens: int,
    shares_reward: bool = False,
    offloads: bool = False,
    example_tokens: int | None = None,
    processes: int = 1,
) -> Recipe | None:
    """What the stage does in one process, of so many that divide the rows where it samples from its policy.

    `dtype`: as in the file. `tokens`: prompt and response of the longest row; `example_tokens`: the longest prompt with
    all of its responses, where that is known. Every role is taken to have the given
    shape, and to be in memory at once, as it is in these loops. `shares_reward`: the reward model is an adapter of the
    policy's base. `offloads`: there is a GPU, so that what the stage offloads is on it for a visit only.
    """
    numbers = FORMATS[dtype]
    blank = Recipe(shape=shape, numbers=numbers, roles=Roles())
    if isinstance(stage, SampleStage | EvaluateStage):
        judge = isinstance(stage, EvaluateStage) and isinstance(stage.judge, RewardModelJudge)
        rollout = Rollout(rows=stage.batch_size, tokens=tokens, number_bytes=numbers.product)
        return replace(blank, roles=Roles(frozen=2 if judge else 1), rollout=rollout)
    if not isinstance(stage, BatchedStage | PolicyStage):
        return None
    lora = stage.lora if isinstance(stage, AdaptedStage) else None
    recipe = replace(
        blank,
        checkpointing=stage.activation_checkpointing,
        adapter_parameters=0 if lora is None else shape.adapter_parameters(lora.rank),
        quantized=isinstance(stage, AdaptedStage) and stage.quantization is not None,
    )
    if isinstance(stage, PolicyStage):
        responses = stage.prompts_per_step * stage.responses_per_prompt
        rows = math.ceil(responses / stage.minibatches / processes)
        here = stage.sampler is None  # otherwise a server somewhere else keeps keys and values
        sampled = min(ROLLOUT_ROWS, math.ceil(responses / processes)) if here else 0
        return replace(
            recipe,
            roles=policy_roles(stage, shares_reward=shares_reward, offloads=offloads),
            tokens=_passed(stage, rows * tokens, tokens),
            rollout=Rollout(rows=sampled, tokens=tokens, number_bytes=numbers.product, gathers_whole=True),
        )
    examples = min(stage.micro_batch_size or stage.batch_size, stage.batch_size)
    example = example_tokens or tokens * (2 if isinstance(stage, PreferenceStage) else 1)
    return replace(
        recipe,
        roles=_batch_roles(stage),
        tokens=_passed(stage, examples * example, example),
        head="none" if isinstance(stage, RewardModelStage) else "blocks",
    )


def policy_roles(stage: PolicyStage, *, shares_reward: bool, offloads: bool) -> Roles:
    """Of the stages that sample from their policy. P is a whole model, A an adapter:

        layout                    trained          frozen
        separate                  2 P (RLOO: P)    2 P                 reference, reward model
        separate, lora            2 A (RLOO: A)    3 P (RLOO: 2 P)     bases of policy and value model, reward model
        shared, lora              2 A (RLOO: A)    P + A               one base, the reward model's adapter
        one_trunk, lora           A                P + A
        one_trunk                 P                2 P

    A reference that the policy did not start from takes a P more, and so does, for its A, a reward model of another
    base; each further reward model takes as much as the first. Policy and value model are passed through one after the
    other, or as one, so that the activations of one are there at a time.
    """
    values = isinstance(stage, PPOStage) and stage.roles != "one_trunk"
    count = 2 if values else 1
    frozen = {"reference": 1, "reward": len(models_of(stage.scored))}
    frozen_adapters = bases = 0
    if stage.lora is not None:
        bases = 1
        if stage.policy == stage.reference:
            frozen["reference"] = 0
        if stage.layout != "separate":
            if shares_reward:
                frozen_adapters, frozen["reward"] = frozen["reward"], 0
        elif values:
            frozen["value"] = 1  # its base is never quantised
    away = [frozen.pop(role) for role in sorted(set(stage.offload))] if offloads else []
    return Roles(
        trained=0 if stage.lora else count,
        adapters=count if stage.lora else 0,
        bases=bases,
        frozen=sum(frozen.values()),
        frozen_adapters=frozen_adapters,
        visiting=max(away, default=0),
    )


def _batch_roles(stage: BatchedStage) -> Roles:
    """DPO asks a reference that is the policy's own start before the first update, and so needs no copy of it; KTO, a
    copy unless the start is the base under the adapters."""
    lora = isinstance(stage, AdaptedStage) and stage.lora is not None
    apart = isinstance(stage, DPOStage | KTOStage) and stage.policy != stage.reference
    copied = apart or (isinstance(stage, KTOStage) and not lora)
    return Roles(trained=0 if lora else 1, adapters=int(lora), bases=int(lora), frozen=int(copied))


def _passed(stage: OptimizedStage, batch: int, example: int) -> int:
    """Tokens in one forward and backward pass: those of the batch, or the budget, but one example at least."""
    return batch if stage.micro_batch_tokens is None else min(batch, max(stage.micro_batch_tokens, example))
