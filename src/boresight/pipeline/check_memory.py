"""Memory of each stage, and what else it asks of the machine, against what this machine has."""

import importlib.util
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version

from boresight.config.pipeline import Pipeline
from boresight.config.references import BASE_MODEL
from boresight.config.sections import EvaluateStage, PolicyStage, PretrainStage, SampleStage, TextStage
from boresight.config.several_processes import SHARED_KINDS
from boresight.environment.machine import multiplies_bfloat16
from boresight.pipeline.check_findings import Finding
from boresight.pipeline.check_lineage import local_model, root_of, shared_base, start_of
from boresight.planning.calibration import load_calibration
from boresight.planning.hardware import process_memory
from boresight.planning.memory import Memory, memory_of
from boresight.planning.model_folders import folder_shape
from boresight.planning.numbers import GIB
from boresight.planning.prediction import beside_frameworks
from boresight.planning.recipe import Sharding
from boresight.planning.shapes import ModelShape, pretrain_shape
from boresight.planning.stage_memory import stage_recipe

UNKNOWN_LENGTH = 1024
"""Tokens taken for the longest row where neither data nor config tell it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where models will lie: `kind` is "GPU" or "memory"; `bfloat16` is false where a processor multiplies that format
    in software."""

    kind: str
    available: int
    bfloat16: bool | None = None


@dataclass(frozen=True, slots=True)
class MemoryLine:
    """What one stage takes at its peak, by part, in GiB."""

    stage: str
    kind: str
    tokens: int
    memory: Memory


def this_machine() -> Machine:
    """The first GPU where there is one that torch can use, otherwise the memory that this process may have."""
    gpu = _gpu_bytes()
    if gpu is not None:
        return Machine("GPU", gpu)
    return Machine("memory", process_memory(), multiplies_bfloat16())


def memory_lines(
    pipeline: Pipeline, longest: Mapping[str, int], machine: Machine, processes: int = 1
) -> list[MemoryLine]:
    """Bytes by part of every stage that loads a model whose shape is known; `longest` as in `ModelFindings`. They are
    those of one GPU where `processes` share the stages that several can, and of all processes together on CPUs."""
    lines = []
    calibration = load_calibration()
    for name, stage in pipeline.stages.items():
        shape = _shape(pipeline, name)
        if shape is None:
            continue
        tokens = stage.sequence_length if isinstance(stage, PretrainStage) else longest.get(name)
        if tokens is None:
            limit = stage.max_length if isinstance(stage, TextStage) else None
            tokens = limit or min(shape.context_length or UNKNOWN_LENGTH, UNKNOWN_LENGTH)
        together = processes if machine.kind == "GPU" and stage.kind in SHARED_KINDS else 1
        recipe = stage_recipe(
            stage,
            shape,
            dtype=pipeline.sections.model.dtype,
            tokens=tokens,
            shares_reward=isinstance(stage, PolicyStage) and shared_base(pipeline, stage) is not None,
            offloads=machine.kind == "GPU",
            processes=together,
        )
        if recipe is not None:
            recipe = beside_frameworks(recipe, calibration, on_gpu=machine.kind == "GPU")
            shared = Sharding(gpus=together, stage=3) if together > 1 else Sharding()
            memory = memory_of(replace(recipe, sharding=shared))
            lines.append(MemoryLine(name, stage.kind, tokens, memory))
    return lines


def memory_findings(lines: list[MemoryLine], machine: Machine) -> list[Finding]:
    """Stages that will not fit the machine, or hardly."""
    found = []
    for line in lines:
        if line.memory.total <= machine.available:
            continue
        certain = line.memory.certain > machine.available
        need = line.memory.certain if certain else line.memory.total
        parts = (
            "weights, gradients, moments, frozen models and the libraries"
            if certain
            else "all parts, activations as a rough bound,"
        )
        todo = "Take a smaller model, or a larger machine." if certain else (
            "Lower micro_batch_tokens or max_length where it runs out."
        )  # fmt: skip
        found.append(
            Finding(
                "memory_exceeded" if certain else "memory_tight",
                "error" if certain else "warning",
                line.stage,
                f"{parts} need {need / GIB:.1f} GiB; this machine has {machine.available / GIB:.1f} GiB of "
                f"{machine.kind}. {todo}",
            )
        )
    return found


def quantization_findings(pipeline: Pipeline, machine: Machine) -> list[Finding]:
    """Stages that ask for weights in 4 bits where these cannot be had."""
    wanting = [name for name, stage in pipeline.stages.items() if getattr(stage, "quantization", None)]
    if machine.kind != "GPU":
        todo = "this machine has no CUDA device. Run on one that has, or take the setting out: lora runs anywhere."
    elif importlib.util.find_spec("bitsandbytes") is None:
        todo = "bitsandbytes is not installed. Install it (pip install 'boresight[qlora]'), or take the setting out."
    else:
        return []
    return [Finding("quantization_missing", "error", name, f"quantization: {todo}") for name in wanting]


def precision_findings(pipeline: Pipeline, machine: Machine) -> list[Finding]:
    """A number format that this machine has to imitate."""
    if machine.bfloat16 is not False or pipeline.sections.model.dtype != "bfloat16":
        return []
    message = (
        "model.dtype is bfloat16, which this processor multiplies in software, many times slower than float32 "
        "(`boresight plan --calibrate` measures both). Set it to float32, unless the run is for another machine."
    )
    return [Finding("bfloat16_in_software", "warning", None, message)]


def _shape(pipeline: Pipeline, name: str) -> ModelShape | None:
    stage = pipeline.stages[name]
    if isinstance(stage, PretrainStage):
        return pretrain_shape(stage)
    if isinstance(stage, EvaluateStage):
        reference: str | None = stage.baseline
    elif isinstance(stage, SampleStage):
        reference = stage.policy if isinstance(stage.policy, str) else stage.policy[0]
    else:
        reference = start_of(pipeline, name)
    if reference is None:
        return None
    root = root_of(pipeline, reference)
    if root == BASE_MODEL:
        folder = local_model(pipeline)
        return None if folder is None else folder_shape(folder)
    return _shape(pipeline, root)


def _gpu_bytes() -> int | None:
    """Memory of the first GPU in bytes, asked of the driver's own tool; None without one, or with a torch for CPUs."""
    program = shutil.which("nvidia-smi")
    if program is None or version("torch").endswith("+cpu"):
        return None
    question = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(question, capture_output=True, text=True, timeout=10, check=True).stdout
        return int(answer.split()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None  # a driver that does not answer serves no torch either
