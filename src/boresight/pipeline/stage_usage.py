"""What a stage took, and what the planner expected of it: the figures that the report sets beside each other."""

from pathlib import Path

import torch

from boresight.config.sections import PolicyStage, PretrainStage
from boresight.errors import PlanError
from boresight.pipeline.check_lineage import shared_base, start_of
from boresight.pipeline.context import StageContext
from boresight.planning.calibration import Calibration, load_calibration
from boresight.planning.hardware import Machine, device_of, this_cpu
from boresight.planning.model_folders import folder_shape
from boresight.planning.prediction import predict
from boresight.planning.shapes import ModelShape, pretrain_shape
from boresight.runlog.reader import read_metrics
from boresight.runlog.writer import TIMINGS_FILE
from boresight.training.usage import memory_gib, peak_gib, reset_peak


class StageUsage:
    """Memory from here on."""

    def __init__(self) -> None:
        self._before = memory_gib()
        reset_peak()

    def metrics(self, folder: Path) -> dict[str, float]:
        """The peak since then; a GPU's is set back by the phases of a step, so theirs count as well."""
        logged = read_metrics(folder).series("memory/peak_gib", "train") if (folder / TIMINGS_FILE).is_file() else []
        peak = max([peak_gib(), *(value for _, value in logged)])
        return {"memory/before_gib": self._before, "memory/stage_peak_gib": peak}


def expected(context: StageContext) -> dict[str, float]:
    """What the planner says of the lengths that the stage told; nothing where it told none, or is built by several."""
    try:
        calibration = load_calibration()
    except PlanError:  # a file of the user's that cannot be read: told by `boresight check`, no reason to lose a stage
        return {}
    machine, shape = _machine(calibration), _shape(context)
    if not context.workloads or shape is None or machine is None or context.processes.count > 1:
        return {}
    config = context.config
    prediction = predict(
        config,
        shape,
        context.workloads[0],
        dtype=context.pipeline.sections.model.dtype,
        machine=machine,
        calibration=calibration,
        shares_reward=isinstance(config, PolicyStage) and shared_base(context.pipeline, config) is not None,
    )
    return {} if prediction is None else prediction.metrics(on_gpu=not machine.device.is_cpu)


def _shape(context: StageContext) -> ModelShape | None:
    if isinstance(context.config, PretrainStage):
        return pretrain_shape(context.config)
    start = start_of(context.pipeline, context.name)
    return None if start is None else folder_shape(Path(context.model_path(start)))


def _machine(calibration: Calibration) -> Machine | None:
    if not torch.cuda.is_available():
        return Machine(torch.get_num_threads(), this_cpu(calibration))
    seen = torch.cuda.get_device_properties(0)
    device = device_of(seen.name, seen.total_memory)
    return None if device is None else Machine(1, device)
