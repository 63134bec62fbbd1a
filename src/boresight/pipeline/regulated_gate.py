"""The gate of a regulated pipeline: what its candidates really learned from, and who judged them."""

from collections.abc import Sequence
from typing import Any

from boresight.config.sections import EvaluateStage, KTOStage
from boresight.data.jsonl import read_records
from boresight.data.rated import read_rated
from boresight.data.readers import read_pairs
from boresight.pipeline.check_regulated import NO_AI, learns_preferences
from boresight.pipeline.context import StageContext
from boresight.pipeline.inputs import PAIRS
from boresight.records import PreferencePair

LENIENT: dict[str, Any] = dict.fromkeys(("on_identical", "on_empty", "on_context_differs", "on_unreadable"), "drop")
"""Rows that a stage would refuse were refused when it was built; here they are only counted."""


def regulated_checks(context: StageContext, of: str, candidates: Sequence[str]) -> list[dict[str, Any]]:
    """Rows like those of `evaluation.gate.decide`, from the labels and the judge as they were."""
    pipeline = context.pipeline
    evaluation = pipeline.stages[of]
    assert isinstance(evaluation, EvaluateStage)
    rows = []
    for name in candidates:
        for stage in (one for one in (*pipeline.ancestors(name), name) if learns_preferences(pipeline, one)):
            count = labels_beyond_ai(context, stage)
            rows.append(
                _row(name, "labels_beyond_ai", count, f"{stage} learned from {count:,} labels that are not a judge's")
            )
        kind = evaluation.judge.kind
        rows.append(_row(name, "judge_beyond_ai", int(kind in NO_AI), f"{of} is judged by {kind}"))
    return rows


def labels_beyond_ai(context: StageContext, stage: str) -> int:
    """Pairs of a training stage's data whose source is not `ai`, and rated responses, which a judge never makes."""
    pairs: list[PreferencePair] = []
    rated = 0
    for source in context.pipeline.references(stage).get("data", []):
        pairs += read_records(context.stage_file(source, PAIRS), PreferencePair)
    for path in context.pipeline.file_inputs(stage).get("data", []):
        if isinstance(context.pipeline.stages[stage], KTOStage):
            rated += len(read_rated(path, **LENIENT).rated)
        else:
            pairs += read_pairs(path, **LENIENT).pairs
    return sum(pair.source != "ai" for pair in pairs) + rated


def _row(candidate: str, measure: str, value: int, words: str) -> dict[str, Any]:
    return {
        "candidate": candidate,
        "measure": measure,
        "value": value,
        "bound": 1,
        "direction": "min",
        "passed": value >= 1,
        "reason": f"{candidate}: {words}; a regulated run requires that AI labels do not decide alone",
    }
