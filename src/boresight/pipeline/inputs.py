"""The records a stage reads: from the user's files, or from the stages it names."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from boresight.config.sections import RewardModelStage
from boresight.data.jsonl import read_records
from boresight.data.readers import read_demonstrations, read_documents, read_pairs, read_prompts
from boresight.errors import DataError
from boresight.pipeline.context import StageContext
from boresight.records import Demonstration, PreferencePair, Prompt

PAIRS, HELD_OUT = "pairs.jsonl", "held_out.jsonl"


@dataclass(frozen=True, slots=True)
class Demonstrations:
    demonstrations: list[Demonstration]
    dropped: dict[str, int] = field(default_factory=dict)


def read_stage_documents(context: StageContext) -> list[str]:
    return [text for path in _files(context, "data") for text in read_documents(path).documents]


def read_stage_demonstrations(context: StageContext) -> Demonstrations:
    """All demonstrations of the stage's files, and how many records were left out for which reason."""
    everything = Demonstrations([])
    for path in _files(context, "data"):
        read = read_demonstrations(path)
        everything.demonstrations.extend(read.demonstrations)
        for reason, count in read.dropped.items():
            everything.dropped[reason] = everything.dropped.get(reason, 0) + count
    return everything


def read_stage_prompts(context: StageContext) -> list[Prompt]:
    """All prompts of the stage's files; an id that two files give to different prompts is an error."""
    prompts = [prompt for path in _files(context, "prompts") for prompt in read_prompts(path).prompts]
    _refuse_equal_ids(context.name, (prompt.id for prompt in prompts))
    return prompts


def read_stage_pairs(context: StageContext, source: str) -> list[PreferencePair]:
    """Training pairs: of a stage that makes pairs, or of a preference file."""
    if source in context.pipeline.stages:
        return read_records(context.stage_file(source, PAIRS), PreferencePair)
    return read_pairs(context.pipeline.resolve_path(source)).pairs


def held_out_pairs(context: StageContext, config: RewardModelStage) -> dict[str, list[PreferencePair]]:
    """Named sets that the reward model never trains on: the preferences stage's own part, and the files named."""
    sets: dict[str, list[PreferencePair]] = {}
    if config.data in context.pipeline.stages:
        own = context.stage_file(config.data, HELD_OUT)
        pairs = read_records(own, PreferencePair) if own.exists() else []
        if pairs:
            sets["held_out"] = pairs
    for name, source in config.held_out.items():
        sets[name] = read_stage_pairs(context, source)
    return sets


def _files(context: StageContext, field_name: str) -> list[Path]:
    return context.pipeline.file_inputs(context.name)[field_name]


def _refuse_equal_ids(stage: str, ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for record_id in ids:
        if record_id in seen:
            raise DataError(
                f"stage {stage}: two prompts have the id {record_id!r}; expected ids that differ, since results are "
                "counted by them. Rename one of them in its file."
            )
        seen.add(record_id)
