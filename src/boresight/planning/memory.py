"""Memory of a stage at a glance: bytes by part, from the numbers of a config alone.

Weights, gradients and moments are exact for a known number of parameters. Activations are rough: an upper estimate for
a decoder block whose attention keeps no square matrix, every row as long as the longest.
"""

import math
from dataclasses import dataclass

from boresight.config.reward_sections import models_of
from boresight.config.section_bases import BatchedStage, OptimizedStage
from boresight.config.sections import (
    DPOStage,
    EvaluateStage,
    KTOStage,
    LoRASection,
    PolicyStage,
    PPOStage,
    PreferenceStage,
    RewardModelJudge,
    RewardModelStage,
    SampleStage,
    StageSection,
    TextStage,
)
from boresight.planning.shapes import ModelShape

GIB = 2**30
WEIGHT_BYTES = 4  # weights, gradients and moments are float32 whatever the arithmetic
FOUR_BIT_BYTES = 0.5 + 0.127 / 8  # a number and its share of the doubly quantised scales (Dettmers et al. 2023)
DTYPE_BYTES = {"float32": 4, "bfloat16": 2}
LOGITS_AT_ONCE = 1 << 25
"""Of tokens times vocabulary: what the fused head holds of them together."""
ROLLOUT_ROWS = 128
"""Responses that a stage which samples from its policy decodes at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMemory:
    """Bytes by part. `frozen`: weights of roles that are not trained. `activations`: what passes through, rough."""

    weights: int = 0
    gradients: int = 0
    moments: int = 0
    frozen: int = 0
    activations: int = 0

    @property
    def certain(self) -> int:
        """Everything but the activations."""
        return self.weights + self.gradients + self.moments + self.frozen

    @property
    def total(self) -> int:
        return self.certain + self.activations


def stage_memory(
    stage: StageSection,
    shape: ModelShape,
    *,
    number_bytes: int,
    tokens: int,
    shares_reward: bool = False,
    offloads: bool = False,
) -> StageMemory | None:
    """Memory at the peak of a stage; None for a stage that loads no model.

    `number_bytes`: of one number that the blocks keep. `tokens`: prompt and response of the longest row. Every role is
    taken to have the given shape, and to be in memory at once, as it is in these loops. `shares_reward`: the reward
    model is an adapter of the policy's base. `offloads`: there is a GPU, so that what the stage offloads is on it for a
    visit only.
    """
    one = shape.parameters * WEIGHT_BYTES
    if isinstance(stage, PolicyStage):
        return _policy_memory(stage, shape, number_bytes, tokens, shares_reward=shares_reward, offloads=offloads)
    if isinstance(stage, TextStage) and stage.lora is not None:
        return _adapted_memory(stage, stage.lora, shape, number_bytes=number_bytes, tokens=tokens)
    if isinstance(stage, SampleStage | EvaluateStage):
        judge = isinstance(stage, EvaluateStage) and isinstance(stage.judge, RewardModelJudge)
        return StageMemory(
            frozen=one * (2 if judge else 1),
            activations=_sampling(shape, number_bytes, rows=stage.batch_size, tokens=tokens),
        )
    if isinstance(stage, BatchedStage):
        examples = min(stage.micro_batch_size or stage.batch_size, stage.batch_size)
        paired = isinstance(stage, PreferenceStage)
        passed = _passed(stage, examples * tokens * (2 if paired else 1), tokens * (2 if paired else 1))
        logits = 0 if isinstance(stage, RewardModelStage) else _logits(shape, passed)
        apart = isinstance(stage, KTOStage) or (isinstance(stage, DPOStage) and stage.policy != stage.reference)
        frozen = one if apart else 0  # DPO asks a reference that is the policy's own start before the first update
        blocks = _block_activations(stage, shape, number_bytes, passed)
        return _trained(one, 1, frozen=frozen, activations=blocks + logits)
    return None


def _policy_memory(
    stage: PolicyStage, shape: ModelShape, number_bytes: int, tokens: int, *, shares_reward: bool, offloads: bool
) -> StageMemory:
    """Of the stages that sample from their policy. With P a model's weights, A those of one adapter, in bytes:

        layout                    trained T        frozen
        separate                  2 P (RLOO: P)    2 P                 reference, reward model
        separate, lora            2 A (RLOO: A)    3 P (RLOO: 2 P)     bases of policy and value model, reward model
        shared, lora              2 A (RLOO: A)    P + A               one base, the reward model's adapter
        one_trunk, lora           A                P + A
        one_trunk                 P                2 P

    and in all 4 T for weights, gradients and AdamW's two moments. A reference that the policy did not start from takes
    a P more, and so does, for its A, a reward model of another base; each further reward model takes as much as the
    first. Policy and value model are passed through one after the other, or as one, so that the activations of one are
    there at a time.
    """
    one = shape.parameters * WEIGHT_BYTES
    values = isinstance(stage, PPOStage) and stage.roles != "one_trunk"
    rows = math.ceil(stage.prompts_per_step * stage.responses_per_prompt / stage.minibatches)
    passed = _passed(stage, rows * tokens, tokens)
    update = _block_activations(stage, shape, number_bytes, passed) + _logits(shape, passed)
    rollout = _sampling(shape, number_bytes, rows=min(ROLLOUT_ROWS, rows * stage.minibatches), tokens=tokens)
    rewards = len(models_of(stage.scored))
    roles = {"reference": one, "reward": rewards * one}
    base = 0
    trained = one
    if stage.lora is not None:
        trained = _adapter_bytes(stage.lora, shape)
        base = int(shape.parameters * FOUR_BIT_BYTES) if stage.quantization else one
        if stage.policy == stage.reference:
            roles["reference"] = 0
        if stage.layout != "separate":
            roles["reward"] = rewards * (trained if shares_reward else one)
        elif values:
            base += one
    trained *= 2 if values else 1
    visiting = max((roles.pop(role) for role in set(stage.offload)), default=0) if offloads else 0
    return StageMemory(
        weights=trained,
        gradients=trained,
        moments=2 * trained,
        frozen=base + sum(roles.values()),
        activations=max(update, rollout, visiting),
    )


def _adapted_memory(
    stage: TextStage, lora: LoRASection, shape: ModelShape, *, number_bytes: int, tokens: int
) -> StageMemory | None:
    """As without adapters, but that gradients and moments are theirs alone, and that a reference which is the policy's
    own start takes no room."""
    unadapted = stage.model_copy(update={"lora": None})
    whole = stage_memory(unadapted, shape, number_bytes=number_bytes, tokens=tokens)
    if whole is None:
        return None
    base = shape.parameters * WEIGHT_BYTES
    adapters = whole.gradients // base * _adapter_bytes(lora, shape)
    shares = isinstance(stage, KTOStage) and stage.policy == stage.reference
    spared = base - int(shape.parameters * FOUR_BIT_BYTES) if stage.quantization else 0  # of the policy alone
    return StageMemory(
        weights=adapters,
        gradients=adapters,
        moments=2 * adapters,
        frozen=whole.weights - spared + whole.frozen - (base if shares else 0),
        activations=whole.activations,
    )


def _adapter_bytes(lora: LoRASection, shape: ModelShape) -> int:
    """One adapter, counted as if every linear layer of Llama's blocks had its part."""
    # Queries and output 4 h, keys and values 2 h + 2 kv, gate, up and down 3 h + 3 i
    widths = 9 * shape.hidden_size + 2 * shape.key_value_size + 3 * shape.intermediate_size
    return lora.rank * widths * shape.layers * WEIGHT_BYTES


def _passed(stage: OptimizedStage, batch: int, example: int) -> int:
    """Tokens in one forward and backward pass: those of the batch, or the budget, but one example at least."""
    return batch if stage.micro_batch_tokens is None else min(batch, max(stage.micro_batch_tokens, example))


def _trained(one: int, models: int, *, frozen: int, activations: int) -> StageMemory:
    """AdamW keeps two moments a weight."""
    trained = models * one
    return StageMemory(weights=trained, gradients=trained, moments=2 * trained, frozen=frozen, activations=activations)


def _block_activations(stage: OptimizedStage, shape: ModelShape, number_bytes: int, tokens: int) -> int:
    """What the blocks keep for the backward pass, counted off LlamaDecoderLayer with lean norms and feed-forward parts;
    with activation checkpointing the input of each (h in float32), and all of the one that is computed again.

    A token and layer, in float32: inputs of two norms (2 h), queries and keys after rotation (h + kv). In the format of
    products: what the norms give and attention gives (3 h), values (kv), gate, up and their product (3 i). Weights of
    the blocks once more where that format is another.
    """
    wide = 3 * shape.hidden_size + shape.key_value_size
    narrow = 3 * shape.hidden_size + shape.key_value_size + 3 * shape.intermediate_size
    lowered = number_bytes < WEIGHT_BYTES
    products = 2 * shape.hidden_size + 2 * shape.key_value_size + 3 * shape.intermediate_size
    copies = shape.hidden_size * products * number_bytes if lowered else 0
    block = tokens * (wide * 4 + narrow * number_bytes) + copies
    if stage.activation_checkpointing:
        return tokens * shape.layers * shape.hidden_size * 4 + block
    return shape.layers * block


def _logits(shape: ModelShape, tokens: int) -> int:
    """Logits, their log-probabilities and the gradient of them, float32, of so many tokens as are projected at once."""
    return 3 * 4 * min(tokens * shape.vocabulary_size, max(LOGITS_AT_ONCE, shape.vocabulary_size))


def _sampling(shape: ModelShape, number_bytes: int, *, rows: int, tokens: int) -> int:
    """Keys and values of all tokens, and the logits of one."""
    cache = 2 * shape.layers * shape.key_value_size * number_bytes * rows * tokens
    return cache + _logits(shape, rows)
