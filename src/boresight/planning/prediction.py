"""What a stage of a run is expected to take, from its settings, its model's shape and the lengths of its data."""

from dataclasses import dataclass, replace

from boresight.config.sections import PretrainStage, StageSection
from boresight.planning.calibration import Calibration
from boresight.planning.hardware import CONTEXT_BYTES, Machine
from boresight.planning.memory import memory_of
from boresight.planning.numbers import GIB
from boresight.planning.recipe import Recipe
from boresight.planning.shapes import ModelShape
from boresight.planning.stage_memory import stage_recipe
from boresight.planning.stage_time import Speed, stage_time
from boresight.planning.workload import Workload


@dataclass(frozen=True, slots=True)
class Prediction:
    """`tensors_gib` is the peak without what framework and driver take."""

    peak_gib: float
    tensors_gib: float
    seconds: float

    def metrics(self, *, on_gpu: bool) -> dict[str, float]:
        """Under the names of `boresight.runlog.names`; a GPU's peak is measured of tensors alone."""
        peak = self.tensors_gib if on_gpu else self.peak_gib
        return {"memory/predicted_peak_gib": peak, "time/predicted_seconds": self.seconds}


def predict(
    stage: StageSection,
    shape: ModelShape,
    work: Workload,
    *,
    dtype: str,
    machine: Machine,
    calibration: Calibration,
    shares_reward: bool = False,
) -> Prediction | None:
    """In one process; None for a stage that trains nothing."""
    on_gpu = not machine.device.is_cpu
    recipe = stage_recipe(
        stage,
        shape,
        dtype=dtype,
        tokens=work.longest,
        shares_reward=shares_reward,
        offloads=on_gpu,
        example_tokens=work.longest_example or None,
    )
    time = stage_time(stage, shape, work, Speed.of(machine, calibration, dtype, stage.kind))
    if recipe is None or time is None:
        return None
    share = 1.0 if isinstance(stage, PretrainStage) else work.scored_share
    memory = memory_of(beside_frameworks(replace(recipe, scored_share=share), calibration, on_gpu=on_gpu))
    overhead = memory.peak.overhead
    return Prediction(memory.total / GIB, (memory.total - overhead) / GIB, time.seconds)


def beside_frameworks(recipe: Recipe, calibration: Calibration, *, on_gpu: bool) -> Recipe:
    """The recipe with what framework, driver and allocator take."""
    if on_gpu:
        return replace(recipe, overhead=CONTEXT_BYTES)
    overhead = calibration.cpu_process_bytes
    if recipe.numbers.product < recipe.numbers.weight:
        overhead += calibration.cpu_lowered_bytes
    if recipe.roles.adapters:
        overhead += calibration.cpu_adapter_bytes
    return replace(recipe, overhead=overhead, heap_factor=calibration.cpu_heap_factor)
