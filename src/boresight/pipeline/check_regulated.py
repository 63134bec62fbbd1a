"""Pipelines marked `regulated: true`: no candidate may be decided on by AI labels alone. This module loads no torch.

Two things decide: the preferences that a candidate (or its reward model) learned from, and the judge of the comparison.
A rule that judges counts as people's word, since people wrote it down; a label of `ai_labels` never does.
"""

from collections.abc import Iterator

from boresight.config.pipeline import Pipeline
from boresight.config.sections import (
    AILabelsStage,
    EvaluateStage,
    GateStage,
    KTOStage,
    PreferencesStage,
    PreferenceStage,
)
from boresight.pipeline.check_data import PipelineData
from boresight.pipeline.check_findings import Finding

NO_AI = ("rules", "reward_model")
"""Judges of a comparison that are no AI of their own: a reward model is what its labels made it."""


def regulated_findings(pipeline: Pipeline, data: PipelineData) -> Iterator[Finding]:
    """What `check` refuses of a regulated pipeline, and a warning where nothing decides."""
    if not pipeline.sections.run.regulated:
        return
    for name in pipeline.stages:
        if learns_preferences(pipeline, name) and _by_ai_alone(pipeline, data, name):
            yield Finding(
                "regulated_ai_labels",
                "error",
                name,
                "the run is regulated, and every label that this stage learns from is a judge's. Give the ai_labels "
                "stage human_share and human_labels, or add pairs that people labelled.",
            )
        stage = pipeline.stages[name]
        if isinstance(stage, EvaluateStage) and stage.judge.kind not in NO_AI:
            yield Finding(
                "regulated_ai_judge",
                "error",
                name,
                f"the run is regulated, and an AI ({stage.judge.kind}) alone judges this comparison. Compare by rules, "
                "or by a reward model that learned from people.",
            )
    if not any(isinstance(stage, GateStage) for stage in pipeline.stages.values()):
        yield Finding(
            "regulated_without_gate",
            "warning",
            None,
            "the run is regulated, but no gate decides on it. Add a gate stage.",
        )


def learns_preferences(pipeline: Pipeline, name: str) -> bool:
    """Whether the stage of that name itself trains on preferences or rated responses."""
    return isinstance(pipeline.stages[name], PreferenceStage | KTOStage)


def _by_ai_alone(pipeline: Pipeline, data: PipelineData, name: str) -> bool:
    """Whether no label of a stage that makes or takes pairs can be anything but a judge's."""
    stage = pipeline.stages[name]
    if isinstance(stage, AILabelsStage):
        return not stage.human_labels
    field = "sources" if isinstance(stage, PreferencesStage) else "data"
    makers = pipeline.references(name).get(field, [])
    own = data.stages[name].pairs
    if any(pair.source != "ai" for pair in own) or data.stages[name].rated:
        return False
    # A file that cannot be read is told elsewhere, and says nothing here.
    return bool(makers or own) and all(_by_ai_alone(pipeline, data, maker) for maker in makers)
