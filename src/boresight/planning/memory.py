"""Memory by part and phase. The peak is the highest phase, never the sum of all parts: gradients and logits, or
gradients and a cache of keys and values, are seldom there together.
"""

from dataclasses import dataclass, fields
from functools import cached_property

from boresight.planning.activations import block_bytes, cache_bytes, kept_blocks, logits_bytes, logits_of
from boresight.planning.numbers import FOUR_BIT_BYTES
from boresight.planning.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Bytes on one GPU (or in one process) by part, at the highest point of a phase."""

    name: str
    weights: int = 0
    """Of models trained whole."""
    adapters: int = 0
    """Trained ones."""
    gradients: int = 0
    optimizer: int = 0
    """Moments, and float32 masters where weights are narrower."""
    frozen: int = 0
    """Bases under adapters, reference, reward models."""
    activations: int = 0
    logits: int = 0
    kv_cache: int = 0
    gathered: int = 0
    """Parts of sharded weights that are whole while they are computed with."""
    engine: int = 0
    """Weights of a sampling engine on the same GPU."""
    overhead: int = 0

    @property
    def parts(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "name"}

    @property
    def total(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Memory:
    """The phases of a stage; all that it gives is in bytes."""

    phases: tuple[Phase, ...]

    @cached_property
    def peak(self) -> Phase:
        return max(self.phases, key=lambda phase: phase.total)

    @property
    def total(self) -> int:
        return self.peak.total

    # The peak in the coarser parts that `boresight check` prints

    @property
    def weights(self) -> int:
        return self.peak.weights + self.peak.adapters

    @property
    def gradients(self) -> int:
        return self.peak.gradients

    @property
    def moments(self) -> int:
        return self.peak.optimizer

    @property
    def frozen(self) -> int:
        return self.peak.frozen

    @property
    def overhead(self) -> int:
        return self.peak.overhead

    @property
    def certain(self) -> int:
        """Everything but what passes through."""
        return self.weights + self.gradients + self.moments + self.frozen + self.overhead

    @property
    def activations(self) -> int:
        return self.total - self.certain


def memory_of(recipe: Recipe) -> Memory:
    """The phases that there are: rollout, scoring, loss, backward, update."""
    parts = _Parts(recipe)
    phases = []
    if recipe.rollout is not None:
        phases += _experience(recipe, parts)
    if recipe.roles.trained or recipe.roles.adapters:
        phases += _training(recipe, parts)
    return Memory(tuple(phases))


class _Parts:
    """What lies on one GPU from beginning to end, and the gradients."""

    def __init__(self, recipe: Recipe) -> None:
        numbers, sharding, roles, shape = recipe.numbers, recipe.sharding, recipe.roles, recipe.shape
        whole, adapted = roles.trained * shape.parameters, roles.adapters * recipe.adapter_parameters
        held = 0 if sharding.weights_on_cpu else 1
        by_weights = sharding.share(3)
        self.weights = held * whole * numbers.weight // by_weights
        self.adapters = held * adapted * numbers.weight // by_weights
        gradients = (whole + adapted) * numbers.gradient
        self.gradients = held * gradients // sharding.share(2)
        optimizer = (whole + adapted) * numbers.optimizer
        if numbers.embedding_moment is not None:
            spared = 2 * (numbers.embedding_moment - numbers.moment)
            optimizer += roles.trained * shape.embedding_parameters * spared
        self.optimizer = 0 if sharding.optimizer_on_cpu else optimizer // sharding.share(1)
        self.one_frozen = shape.parameters * numbers.frozen // by_weights
        beside = roles.frozen_adapters * recipe.adapter_parameters * numbers.frozen // by_weights
        base = _base_bytes(recipe) // by_weights
        self.frozen = held * (roles.bases * base + roles.frozen * self.one_frozen + beside)

    def constant(self) -> dict[str, int]:
        return {
            "weights": self.weights,
            "adapters": self.adapters,
            "optimizer": self.optimizer,
            "frozen": self.frozen,
        }


def _base_bytes(recipe: Recipe) -> int:
    """Quantised are the blocks' matrices; embeddings and head stay as frozen weights are."""
    shape, frozen = recipe.shape, recipe.numbers.frozen
    if not recipe.quantized:
        return shape.parameters * frozen
    blocks = shape.parameters - shape.embedding_parameters
    return int(blocks * FOUR_BIT_BYTES) + shape.embedding_parameters * frozen


def _experience(recipe: Recipe, parts: _Parts) -> list[Phase]:
    """Sampling, then scoring by the roles; no gradients are held. A visiting role is there for the scoring."""
    rollout = recipe.rollout
    assert rollout is not None
    shape, numbers = recipe.shape, recipe.numbers
    gathered = _gathered(recipe, gradients=False, whole=rollout.gathers_whole)
    constant = parts.constant() | {"overhead": recipe.overhead, "gathered": gathered}
    sampling = Phase(
        name="rollout",
        **constant,
        kv_cache=_held(recipe, cache_bytes(shape, rollout)),
        logits=_held(recipe, logits_bytes(shape, numbers, rollout.rows, "blocks")),
        engine=rollout.engine_bytes,
    )
    visiting = recipe.roles.visiting * parts.one_frozen
    passed = block_bytes(shape, numbers, recipe.tokens, recipe.blocks)  # one block at a time: nothing is kept
    scoring = Phase(
        name="scoring",
        **(constant | {"frozen": parts.frozen + visiting}),
        activations=_held(recipe, passed),
        logits=_held(recipe, logits_of(recipe)),
    )
    return [sampling, scoring] if recipe.tokens else [sampling]


def _held(recipe: Recipe, size: int) -> int:
    return int(size * recipe.heap_factor)


def _training(recipe: Recipe, parts: _Parts) -> list[Phase]:
    """loss: everything that the forward pass kept, and the logits. backward: its end, with all gradients and the
    activations of the first block alone. update: moments are moved."""
    shape, numbers = recipe.shape, recipe.numbers
    constant = parts.constant() | {"overhead": recipe.overhead}
    head_gradient = _head_gradient(recipe)
    first = parts.gradients if recipe.accumulates else head_gradient
    last = head_gradient if recipe.steps_in_backward else parts.gradients
    one_block = block_bytes(shape, numbers, recipe.tokens, recipe.blocks)
    live = one_block if recipe.checkpointing else 0
    loss = Phase(
        name="loss",
        **constant,
        gradients=max(first, head_gradient if recipe.sharding.share(2) == 1 else 0),
        activations=_held(recipe, kept_blocks(recipe) + (live if recipe.accumulates else 0)),
        logits=_held(recipe, logits_of(recipe)),
        gathered=_gathered(recipe, gradients=True),
    )
    backward = Phase(
        name="backward",
        **constant,
        gradients=last,
        activations=_held(recipe, one_block),
        gathered=_gathered(recipe, gradients=True),
    )
    return [loss, backward, Phase(name="update", **constant, gradients=last)]


def _head_gradient(recipe: Recipe) -> int:
    """When the loss is computed, of all gradients only the head's is there; in chunks, the sum and the newest part."""
    if not recipe.roles.trained or recipe.head == "none":
        return 0
    return (2 if recipe.head == "chunks" else 1) * recipe.shape.head_parameters * recipe.numbers.gradient


def _gathered(recipe: Recipe, *, gradients: bool, whole: bool = False) -> int:
    """Embeddings and head stay whole from the first layer to the last, of the blocks two are: the one that is computed
    and the one that is fetched (FSDP2). Whole gradients of these are there until they are summed and parted. `whole`:
    one model is gathered with all its blocks."""
    sharding, shape, numbers, roles = recipe.sharding, recipe.shape, recipe.numbers, recipe.roles
    if sharding.share(3) == 1:
        return 0
    number = numbers.weight if roles.trained else numbers.frozen
    if whole:
        return shape.parameters * number
    gathered = (shape.embedding_parameters + 2 * shape.block_parameters) * number
    if gradients and roles.trained:
        gathered += (shape.embedding_parameters + shape.block_parameters) * numbers.gradient
    return gathered
