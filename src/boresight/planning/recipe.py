"""What decides the memory of a training step: a description that is the same for this package and for others."""

from dataclasses import dataclass, field
from typing import Literal

from boresight.planning.numbers import NumberFormats
from boresight.planning.shapes import ModelShape

Head = Literal["blocks", "chunks", "whole", "none"]
Blocks = Literal["lean", "fused", "eager"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """How many models of the shape are in memory, by what becomes of them."""

    trained: int = 0
    """Models trained whole."""
    adapters: int = 0
    """Adapters trained."""
    bases: int = 0
    """Frozen models under adapters; these may be quantised."""
    frozen: int = 0
    """Frozen models beside them: reference, reward models."""
    frozen_adapters: int = 0
    visiting: int = 0
    """Frozen models that wait elsewhere and are brought in one after the other: 1 where there are any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharding:
    """ZeRO (Rajbhandari et al. 2020) or FSDP over `gpus`: 1 shares the optimizer, 2 gradients too, 3 weights too."""

    gpus: int = 1
    stage: Literal[0, 1, 2, 3] = 0
    optimizer_on_cpu: bool = False
    weights_on_cpu: bool = False
    """With stage 3: every part is brought in when it is computed."""

    def share(self, stage: int) -> int:
        """Over how many GPUs lies what that stage begins to share."""
        return self.gpus if self.stage >= stage else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Responses being sampled at once, on one GPU."""

    rows: int
    tokens: int
    """Of a prompt and its response."""
    number_bytes: int
    """Of a number in the cache of keys and values."""
    gathers_whole: bool = False
    """Sharded weights of the model that is asked are there whole, as in this package; otherwise block by block."""
    engine_bytes: int = 0
    """Weights of an engine of its own on the same GPU (vLLM colocated); 0 where the trained model samples, or where
    the engine lies on GPUs of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One kind of training on one shape of model."""

    shape: ModelShape
    numbers: NumberFormats
    roles: Roles
    adapter_parameters: int = 0
    quantized: bool = False
    """Linear layers of frozen bases in 4 bits."""
    tokens: int = 0
    """In one forward and backward pass on one GPU."""
    scored_share: float = 1.0
    """Part of them that is projected on the vocabulary: response tokens, of all."""
    heap_factor: float = 1.0
    """What an allocator takes for the tensors that come and go, in multiples of their size."""
    head: Head = "blocks"
    """How logits become a loss. blocks: some tokens at a time, as this package does. chunks: all logits in the
    products' format, the rest some tokens at a time. whole: all of them, in float32 too. none: a scalar head."""
    blocks: Blocks = "lean"
    """What a block keeps for the backward pass. lean: this package. fused: a compiled block. eager: as written."""
    checkpointing: bool = False
    activations_on_cpu: bool = False
    """With checkpointing: the inputs of blocks wait on the CPU."""
    accumulates: bool = True
    """Gradients of earlier micro-batches are there when a later one is computed."""
    steps_in_backward: bool = False
    """Each weight is updated as soon as its gradient is there, which is then let go."""
    rollout: Rollout | None = None
    sharding: Sharding = field(default=Sharding())
    overhead: int = 0
    """What framework and driver take before the first tensor."""
