"""`check`: what is wrong with a pipeline before any computing is paid for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from boresight.api.faults import public
from boresight.api.pipelines import Overrides, PipelineLike, load_pipeline
from boresight.api.quiet import quiet
from boresight.api.result import Result
from boresight.config.draw import draw
from boresight.config.pipeline import Pipeline
from boresight.pipeline.check import Check, as_json, check_pipeline, needs_models
from boresight.pipeline.check_data import read_data
from boresight.pipeline.check_findings import Finding
from boresight.pipeline.check_text import blocks_of
from boresight.tables import Block


@dataclass(frozen=True, repr=False)
class CheckResult(Result):
    """Findings, gravest first, and the memory of each stage in bytes; with `graph` the stages are drawn."""

    check: Check
    graph: bool = False

    @property
    def passed(self) -> bool:
        """No finding is an error."""
        return self.check.passed

    @property
    def findings(self) -> Sequence[Finding]:
        return self.check.findings

    def to_dict(self) -> dict[str, Any]:
        return as_json(self.check, graph=self.graph)

    def blocks(self) -> Sequence[Block]:
        drawn = [draw(self.check.pipeline)] if self.graph else []
        return [*drawn, *blocks_of(self.check)]


@public
def check(
    pipeline: PipelineLike, *, overrides: Overrides = (), quick: bool = False, graph: bool = False
) -> CheckResult:
    """Find what is wrong before any computing is paid for: config, data, template and mask, memory, classic mistakes.

    Nothing is written. torch is loaded only where there is a tokenizer to try or a rule to parse. `graph` draws the
    stages. Memory is in bytes, longest rows in tokens; sources of the mistakes looked for: docs/concepts.md.

    Raises ConfigError for a pipeline that cannot be read; what a run would stop at is a finding, not an error.
    """
    return CheckResult(look(load_pipeline(pipeline, overrides=overrides, quick=quick)), graph)


def look(pipeline: Pipeline, processes: int = 1) -> Check:
    """The check itself, for a run by so many processes; what needs torch is loaded only where there is something for it
    to look at."""
    data = read_data(pipeline)
    if not needs_models(pipeline):
        return check_pipeline(pipeline, data, processes=processes)
    with quiet():
        from boresight.pipeline.check_models import look_at_models

    models = look_at_models(pipeline, data)
    return check_pipeline(pipeline, data, model_findings=models.findings, longest=models.longest, processes=processes)
