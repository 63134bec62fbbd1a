"""A stage that has run out of memory, told in numbers with what to do, in place of the allocator's traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from boresight.config.pipeline import Pipeline
from boresight.config.sections import AdaptedStage, BatchedStage, OptimizedStage, StageSection
from boresight.errors import TrainingError
from boresight.pipeline.check_memory import memory_lines, this_machine
from boresight.planning.numbers import GIB

SIGNS = ("out of memory", "can't allocate memory", "not enough memory")
"""What the allocators of torch say, in lower case; only some of them raise an error of a class of its own."""


@contextmanager
def memory_told(pipeline: Pipeline, name: str) -> Iterator[None]:
    """Turn an allocator's error within into a TrainingError that says what the stage needs and which settings spare it.

    A process that the system kills for its memory cannot tell anything; `boresight check` estimates beforehand.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        asked = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"stage {name}: out of memory ({asked}). {_needed(pipeline, name)}{_advice(pipeline.stages[name])}"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(sign in str(error).lower() for sign in SIGNS)


def _needed(pipeline: Pipeline, name: str) -> str:
    machine = this_machine()
    has = f"this machine has {machine.available / GIB:.1f} GiB of {machine.kind}. "
    for line in memory_lines(pipeline, {}, machine):
        if line.stage == name:
            need = line.memory
            return (
                f"By estimate it takes {need.certain / GIB:.1f} GiB for weights, gradients, moments, frozen models and "
                f"the libraries, and up to {need.activations / GIB:.1f} GiB for activations; {has}"
            )
    return has[0].upper() + has[1:]


def _advice(stage: StageSection) -> str:
    """Settings that spare memory, those that cost least first."""
    ways = []
    if isinstance(stage, OptimizedStage):
        now = "no limit" if stage.micro_batch_tokens is None else f"{stage.micro_batch_tokens:,}"
        ways.append(f"lower micro_batch_tokens (now {now})")
        if isinstance(stage, BatchedStage) and stage.micro_batch_size is None:
            ways[-1] += " or set micro_batch_size: 1"
        if not stage.activation_checkpointing:
            ways.append("set activation_checkpointing: true")
    if isinstance(stage, AdaptedStage) and stage.lora is None:
        ways.append("train adapters (lora: {})")
    ways.append("take a smaller model or a larger machine")
    return f"What was finished before is kept. {'; '.join(ways).capitalize()}."
