"""A run that was made: what its stages came to, their curves, and the models in it. This module loads no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from boresight.api.faults import public
from boresight.api.result import Result
from boresight.errors import DataError
from boresight.pipeline.report import REPORT_FILE
from boresight.pipeline.report_curves import course
from boresight.pipeline.report_parts import BASE_SERIES, model_series
from boresight.pipeline.report_reading import read_run
from boresight.pipeline.run_summary import Summary, as_object, stage_table
from boresight.runlog.reader import MetricTable, read_metrics
from boresight.tables import Block

if TYPE_CHECKING:
    from boresight.api.diagnosing import Diagnosed
    from boresight.api.models import Model, RewardModel


@dataclass(frozen=True, repr=False)
class Run(Result):
    """A run's folder with the stages that are told; `report` is the path of its page."""

    summary: Summary
    report: Path

    @property
    def folder(self) -> Path:
        """Where the run lies, its stages under `stages/`."""
        return self.summary.folder

    @property
    def passed(self) -> bool:
        """Every gate among the stages holds."""
        return self.summary.passed

    @property
    def stages(self) -> Mapping[str, str]:
        """Kind of each finished stage, by name."""
        return self.summary.kinds

    def result(self, stage: str) -> Mapping[str, Any]:
        """What a stage came to, as its `result.json` has it."""
        self._require(stage)
        return self.summary.result(stage)

    def metrics(self, stage: str) -> MetricTable:
        """The logged metrics of a stage by step; docs/metrics.md has meaning and unit of each."""
        self._require(stage)
        return read_metrics(self.folder / "stages" / stage)

    def model(self, stage: str | None = None) -> "Model | RewardModel":
        """The model that a stage made; without a name, that of the only stage that made one."""
        from boresight.api.models import load_model

        return load_model(self.model_folder(stage))

    def model_folder(self, stage: str | None = None) -> Path:
        """The folder of the model that a stage made; of the only stage that made one where none is named.

        Raises DataError where that stage made no model, or several stages did and none is named.
        """
        made = [name for name in self.stages if (self.folder / "stages" / name / "model").is_dir()]
        if stage is None and len(made) == 1:
            stage = made[0]
        if stage not in made:
            asked = "several models" if stage is None else f"no model of a stage {stage!r}"
            raise DataError(
                f"{self.folder}: {asked}; expected one of {', '.join(made) or '(none is made)'}."
                " Name a stage that made a model."
            )
        return self.folder / "stages" / str(stage) / "model"

    def diagnose(self) -> "Diagnosed":
        """What the doctor finds in its logs, stage by stage."""
        from boresight.api.diagnosing import diagnose

        return diagnose(self.folder)

    def to_dict(self) -> dict[str, Any]:
        return as_object(self.summary, self.report)

    def blocks(self) -> Sequence[Block]:
        return [stage_table(self.summary)]

    def pictures(self) -> Sequence[Markup]:
        """The curves of its training stages, as the report draws them."""
        record = read_run(self.folder)
        series = model_series(record)
        told = [stage for stage in record.stages if stage.name in self.stages]
        drawn = [course(stage, series.get(stage.name, 0) % BASE_SERIES) for stage in told]
        return [Markup("<h4>{}</h4>").format(one.stage.name) + one.chart.wide for one in drawn if one is not None]

    def _require(self, stage: str) -> None:
        if stage not in self.stages:
            raise DataError(
                f"{self.folder}: no finished stage {stage!r}; expected one of {', '.join(self.stages)}."
                " Name one of these, or run the pipeline to its end."
            )


@public
def load_run(folder: str | Path) -> Run:
    """A run that was made earlier, with all of its finished stages.

    Raises DataError where the folder is no run or one of its files cannot be read.
    """
    folder = Path(folder)
    record = read_run(folder)
    done = record.finished()
    gates = {stage.name: bool(stage.outcome["passed"]) for stage in done if stage.kind == "gate"}
    kinds = {stage.name: stage.kind for stage in done}
    summary = Summary(folder=folder, name=record.name, kinds=kinds, built=(), gates=gates)
    return Run(summary, folder / REPORT_FILE)


def folder_of_model(model: str | Path | Run) -> str:
    """The text of `model.path`: the model inside a run or a stage's folder, otherwise what was given."""
    if isinstance(model, Run):
        return str(model.model_folder().resolve())
    inside = Path(model) / "model"
    return str(inside.resolve()) if (inside / "config.json").is_file() else str(model)
