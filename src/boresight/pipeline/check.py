"""Everything that can be wrong before any computing is paid for, as findings. This module loads no torch."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from boresight.config.draw import draw
from boresight.config.pipeline import Pipeline
from boresight.config.references import BASE_MODEL
from boresight.config.sections import (
    AILabelsStage,
    AnswerReward,
    EvaluateStage,
    PolicyStage,
    PretrainStage,
    RulesJudge,
    RulesReward,
)
from boresight.pipeline.check_data import FileLine, PipelineData
from boresight.pipeline.check_findings import Finding, gravest_first
from boresight.pipeline.check_lineage import local_model, start_of
from boresight.pipeline.check_memory import (
    Machine,
    MemoryLine,
    memory_findings,
    memory_lines,
    precision_findings,
    quantization_findings,
    this_machine,
)
from boresight.pipeline.check_method import method_findings
from boresight.pipeline.check_quality import quality_findings
from boresight.pipeline.check_regulated import regulated_findings
from boresight.pipeline.tracking import tracker_findings


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found. It passes where no finding is an error."""

    pipeline: Pipeline
    files: list[FileLine]
    memory: list[MemoryLine]
    machine: Machine
    findings: list[Finding]

    @property
    def passed(self) -> bool:
        return not self.errors()

    def errors(self, stages: Collection[str] | None = None) -> list[Finding]:
        """The errors, of some stages (and of none in particular) or of all."""
        return [
            finding
            for finding in self.findings
            if finding.severity == "error" and (stages is None or finding.stage is None or finding.stage in stages)
        ]


def needs_models(pipeline: Pipeline) -> bool:
    """Whether there is a tokenizer to try or a rule to parse, which takes `check_models` and with it torch."""
    judged = any(
        isinstance(stage, EvaluateStage | AILabelsStage) and isinstance(stage.judge, RulesJudge)
        for stage in pipeline.stages.values()
    )
    ruled = any(
        isinstance(stage, PolicyStage) and any(isinstance(part, RulesReward | AnswerReward) for part in stage.scored)
        for stage in pipeline.stages.values()
    )
    trained = any(isinstance(stage, PretrainStage) for stage in pipeline.stages.values())
    based = any(start_of(pipeline, name) == BASE_MODEL for name in pipeline.stages)
    return judged or ruled or trained or (based and local_model(pipeline) is not None)


def check_pipeline(
    pipeline: Pipeline,
    data: PipelineData,
    *,
    model_findings: Collection[Finding] = (),
    longest: dict[str, int] | None = None,
    machine: Machine | None = None,
    processes: int = 1,
) -> Check:
    """Put together what the files, the models (see `check_models.look_at_models`) and the settings say; of so many
    `processes` each is to have its share of memory."""
    machine = machine or this_machine()
    lines = memory_lines(pipeline, longest or {}, machine, processes)
    findings = [
        *data.findings,
        *model_findings,
        *method_findings(pipeline, data),
        *quality_findings(pipeline, data),
        *regulated_findings(pipeline, data),
        *memory_findings(lines, machine),
        *quantization_findings(pipeline, machine),
        *precision_findings(pipeline, machine),
        *tracker_findings(pipeline),
    ]
    return Check(pipeline, data.files, lines, machine, gravest_first(findings))


def as_json(check: Check, *, graph: bool = False) -> dict[str, Any]:
    """The check as one JSON object; bytes are bytes."""
    counts = {s: sum(f.severity == s for f in check.findings) for s in ("error", "warning", "note")}
    return {
        "pipeline": str(check.pipeline.path),
        "name": check.pipeline.name,
        "passed": check.passed,
        "stages": [{"name": name, "kind": stage.kind} for name, stage in check.pipeline.stages.items()],
        "data": [
            {"path": str(f.path), "stages": list(f.stages), "format": f.format, "rows": f.rows, "used": f.used}
            for f in check.files
        ],
        "memory": {
            "machine": {"kind": check.machine.kind, "bytes": check.machine.available},
            "stages": [_memory_json(line) for line in check.memory],
        },
        "counts": counts,
        "findings": [finding.as_json() for finding in check.findings],
    } | ({"graph": draw(check.pipeline, "mermaid")} if graph else {})


def _memory_json(line: MemoryLine) -> dict[str, Any]:
    memory = line.memory
    return {
        "stage": line.stage,
        "kind": line.kind,
        "longest_tokens": line.tokens,
        "weights": memory.weights,
        "gradients": memory.gradients,
        "moments": memory.moments,
        "frozen": memory.frozen,
        "activations": memory.activations,
        "overhead": memory.overhead,
        "total": memory.total,
    }
