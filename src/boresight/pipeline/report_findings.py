"""What the doctor says of each trained stage, for the page of a run."""

from dataclasses import dataclass

from boresight.diagnosis.diagnose import Diagnosis, diagnose
from boresight.diagnosis.readers.folders import read_logs
from boresight.pipeline.report_reading import RunRecord, StageRecord

SUMMARIES = ("healthy", "unclear")
"""Findings that are the verdict in words."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A stage with what was found in its log, the gravest first."""

    stage: StageRecord
    diagnosis: Diagnosis

    @property
    def is_calm(self) -> bool:
        return self.diagnosis.verdict in SUMMARIES


def examine(run: RunRecord) -> list[Examined]:
    """Every stage that logged a loss, in the order of the run."""
    trained = [stage for stage in run.stages if any(name.startswith("loss/") for name in stage.metrics.names)]
    return [Examined(stage, diagnose(read_logs(stage.folder)[0].run)) for stage in trained]
