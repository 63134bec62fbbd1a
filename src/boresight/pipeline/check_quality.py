"""What the lint says of a pipeline's pairs and demonstrations, and of prompts that its reward model saw the like of."""

from collections.abc import Iterable, Iterator

from boresight.config.pipeline import Pipeline
from boresight.config.reward_sections import reward_models
from boresight.config.sections import (
    PolicyStage,
    PreferencesStage,
    PreferenceStage,
    RewardModelStage,
    SFTStage,
)
from boresight.data.filters import Filters, filter_pairs
from boresight.data.lint.coverage import Coverage
from boresight.data.lint.finding import Finding as LintFinding
from boresight.data.lint.row import row_of
from boresight.data.lint.run import lint
from boresight.errors import DataError
from boresight.pipeline.check_data import PipelineData
from boresight.pipeline.check_findings import Finding
from boresight.records import PreferencePair

OF_DEMONSTRATIONS = (
    "prompt_kinds",
    "no_small_talk",
    "no_multi_turn",
    "special_tokens",
    "encoding_damage",
    "secret_key",
)
"""What a pipeline tells of demonstrations; repeated ones, such as greetings, are often meant."""


def quality_findings(pipeline: Pipeline, data: PipelineData) -> Iterator[Finding]:
    """Warnings and errors of the lint on each stage's own records, pairs as they are after its filters; notes are left
    to `boresight data lint`."""
    for name, stage in pipeline.stages.items():
        if isinstance(stage, PreferencesStage | PreferenceStage):
            if pairs := _kept_pairs(pipeline, data, name):
                yield from _told(name, lint({name: pairs}).findings)
        elif isinstance(stage, SFTStage):
            if demonstrations := data.stages[name].demonstrations:
                found = lint({name: demonstrations}).findings
                yield from _told(name, [finding for finding in found if finding.id in OF_DEMONSTRATIONS])
        elif isinstance(stage, PolicyStage):
            yield from _told(name, _coverage(pipeline, data, name, stage))


def _kept_pairs(pipeline: Pipeline, data: PipelineData, name: str) -> list[PreferencePair]:
    stage, pairs = pipeline.stages[name], data.stages[name].pairs
    if isinstance(stage, PreferencesStage):
        return filter_pairs(pairs, Filters(**stage.filters.model_dump())).kept
    return pairs


def _coverage(pipeline: Pipeline, data: PipelineData, name: str, stage: PolicyStage) -> Iterator[LintFinding]:
    """Whether the prompts of a policy lie near those of the pairs that its reward models learn from."""
    for model in reward_models(stage.reward):
        reward = pipeline.stages[model]
        assert isinstance(reward, RewardModelStage)
        source = reward.data if reward.data in pipeline.stages else model
        if pipeline.stage_inputs(source) and source != model:
            continue  # some of the pairs are made by other stages, from prompts that are not known yet
        coverage = Coverage(data.stages[name].prompts)
        pairs = data.stages[source].pairs
        for position, pair in enumerate(pairs):
            coverage.see(row_of(pair, position, source))
        yield from coverage.findings([pair.id for pair in pairs])


def _told(name: str, findings: Iterable[LintFinding]) -> Iterator[Finding]:
    for finding in findings:
        if finding.severity != "note":
            examples = f" (such as {', '.join(finding.examples)})" if finding.examples else ""
            message = f"{finding.message}{examples}. {finding.advice}"
            yield Finding(finding.id, finding.severity, name, message, DataError)
