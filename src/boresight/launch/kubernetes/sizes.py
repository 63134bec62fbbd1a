"""What pods ask for, from the planner's figures of the pipeline's stages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from boresight.config.pipeline import Pipeline
from boresight.config.several_processes import SHARED_KINDS
from boresight.errors import PlanError
from boresight.launch.kubernetes.cluster import Cluster
from boresight.pipeline.check_memory import Machine, MemoryLine, memory_lines
from boresight.planning.memory import Phase
from boresight.planning.numbers import GIB

ONE_MODEL = ("pretrain", "sft", "sample", "reward_model", "orpo", "simpo")
PROGRAM_GIB = 3
"""Python, PyTorch and the libraries of one process, with room to spare."""
SHARED_MEMORY_GIB = 2
"""/dev/shm, which counts as memory of the pod."""
SCORING_GIB = 2
"""What passes through a reward model in one batch of the service."""


OBJECT_GIB = 1
"""What passes through Ray's object store beside weights."""
SPREAD_KINDS = ("ppo", "rloo")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Memory in GiB of one training pod and of one replica of the reward service, and where the first comes from.

    `object_store`: of it, what Ray keeps in shared memory.
    """

    pod: int
    reward: int
    reason: str
    object_store: int = 0

    @property
    def shared_memory(self) -> int:
        """/dev/shm of a training pod."""
        return self.object_store + SHARED_MEMORY_GIB


def actors_a_pod(cluster: Cluster) -> int:
    """Of Ray: one for each GPU; without GPUs one has the pod to itself."""
    return max(1, cluster.gpus)


def sizes(pipeline: Pipeline, cluster: Cluster) -> Sizes:
    """Raises PlanError where a stage does not fit the GPUs, or where no model is known and nothing is given."""
    kind = "GPU" if cluster.gpus else "memory"
    machine = Machine(kind, cluster.gpu_gib * GIB)
    lines = memory_lines(pipeline, {}, machine)
    ray = cluster.engine == "ray"
    if not lines:
        if cluster.memory_gib is None:
            raise PlanError(
                f"{pipeline.path}: no stage's model can be read here (a name on a hub, or a folder that is not here), "
                "so its memory is not known. Say with --memory how many GiB a pod needs."
            )
        given = cluster.memory_gib
        return Sizes(given, given, "as given; the model is not known here", max(1, given // 4) if ray else 0)
    if cluster.gpus:
        _require_fit(pipeline, cluster, machine)
    model = _model_bytes(lines)
    store = math.ceil(2 * model / GIB) + OBJECT_GIB if ray else 0  # the weights of this version, and of the one before
    processes = max(1, cluster.gpus)
    if cluster.gpus:
        # Each process loads the whole model into the memory of the machine before it is spread over the GPUs, and an
        # actor has a second copy there while weights travel.
        copies = processes * (2 if ray else 1)
        needed, reason = copies * model, f"{copies} times the largest model while it is loaded"
    else:
        top = max(lines, key=lambda line: line.memory.total)
        needed, reason = top.memory.total, f"stage {top.stage} at its peak, {top.tokens} tokens a row"
    if ray:
        reason += f", and {store} GiB of Ray's object store"
    planned = math.ceil(needed / GIB) + processes * PROGRAM_GIB + SHARED_MEMORY_GIB + store
    if cluster.memory_gib is not None:
        if cluster.memory_gib <= store + SHARED_MEMORY_GIB:
            raise PlanError(
                f"--memory {cluster.memory_gib}: {store + SHARED_MEMORY_GIB} GiB of it are shared memory, for the "
                f"weights on their way to Ray's actors; planned were {planned} GiB ({reason}). Give more, or leave it "
                "out."
            )
        planned, reason = cluster.memory_gib, f"as given; planned were {planned} GiB ({reason})"
    return Sizes(planned, math.ceil(model / GIB) + PROGRAM_GIB + SCORING_GIB, reason, store)


def _model_bytes(lines: Sequence[MemoryLine]) -> int:
    """The weights of the largest model, by the stages that have one in memory; where there is none, an upper bound."""
    alone = [line for line in lines if line.kind in ONE_MODEL] or lines
    return max(line.memory.weights + line.memory.frozen for line in alone)


def _require_fit(pipeline: Pipeline, cluster: Cluster, machine: Machine) -> None:
    """Hold what is certain of each stage (all but what passes through) against a GPU; FSDP2 shares it among
    processes."""
    ray = cluster.engine == "ray"
    together = cluster.trainers if ray else cluster.pods * cluster.gpus
    faults = []
    for line in memory_lines(pipeline, {}, machine, together):
        elsewhere = ray and line.kind in SPREAD_KINDS  # frozen models are with other actors, each on a GPU of its own
        need = max(_certain(phase, elsewhere) for phase in line.memory.phases)
        if need > machine.available:
            shared = together > 1 and line.kind in SHARED_KINDS
            faults.append(
                f"stage {line.stage}: weights, gradients, moments, {'' if elsewhere else 'frozen models '}and context "
                f"need {need / GIB:.1f} GiB on one GPU{f' of {together}' if shared else ''}, which has "
                f"{cluster.gpu_gib}: {need / GIB - cluster.gpu_gib:.1f} GiB are missing. Take more or larger GPUs, or "
                "`lora` in the stage."
            )
    if faults:
        raise PlanError("\n".join(faults))


def _certain(phase: Phase, elsewhere: bool) -> int:
    """Bytes, with weights that are gathered."""
    passing = phase.activations + phase.logits + phase.kv_cache
    return phase.total - passing - (phase.frozen if elsewhere else 0)
