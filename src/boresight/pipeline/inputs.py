"""The records a stage reads: from the user's files, or from the stages it names. What is left out is counted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from boresight.config.sections import PairReading, RewardModelStage
from boresight.data.jsonl import read_records
from boresight.data.rated import both_sides, read_rated
from boresight.data.readers import FileReading, read_demonstrations, read_documents, read_pairs, read_prompts
from boresight.data.refusals import Refuse
from boresight.errors import DataError
from boresight.pipeline.context import StageContext
from boresight.records import Demonstration, Message, PreferencePair, Prompt, RatedResponse, Response

T = TypeVar("T")
FileT = TypeVar("FileT", bound=FileReading)

PAIRS, HELD_OUT, RESPONSES = "pairs.jsonl", "held_out.jsonl", "responses.jsonl"


@dataclass(frozen=True, slots=True)
class Records(Generic[T]):
    """`read` holds the rows read by source (documents of a text file, pairs of a stage), `dropped` the rows left out
    by reason; what was read and not dropped is in `records`."""

    records: list[T]
    read: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)


def read_stage_documents(context: StageContext) -> Records[str]:
    """The documents that the stage is to read, from its files."""
    return _read_files(context, "data", read_documents, lambda file: file.documents)


def read_stage_demonstrations(context: StageContext) -> Records[Demonstration]:
    """Those of the stage's files, and the responses of `sample` stages that stopped: a cut-off one would teach to stop
    in the middle."""
    found = _read_files(context, "data", read_demonstrations, lambda file: file.demonstrations)
    for source in context.pipeline.references(context.name).get("data", []):
        responses = read_records(context.stage_file(source, RESPONSES), Response)
        stopped = [response for response in responses if response.stopped]
        found.records.extend(
            Demonstration(id=r.id, messages=(*r.prompt.messages, Message("assistant", r.text)), meta=dict(r.revision))
            for r in stopped
        )
        found.read[source] = len(responses)
        if cut_off := len(responses) - len(stopped):
            found.dropped.update(add_counts(found.dropped, {"cut_off": cut_off}))
    return found


def read_stage_prompts(context: StageContext) -> Records[Prompt]:
    """All prompts of the stage's files; an id that two files give to different prompts is an error."""
    prompts = _read_files(context, "prompts", read_prompts, lambda file: file.prompts)
    _refuse_equal_ids(context.name, (prompt.id for prompt in prompts.records))
    return prompts


def read_stage_pairs(context: StageContext, source: str, choices: PairReading) -> Records[PreferencePair]:
    """Pairs of a stage that makes some, or of a preference file, whose odd rows fare as the choices say."""
    if source in context.pipeline.stages:
        pairs = read_records(context.stage_file(source, PAIRS), PreferencePair)
        return Records(pairs, {source: len(pairs)})
    path = context.pipeline.resolve_path(source)
    file = read_pairs(
        path,
        on_identical=choices.on_identical,
        on_empty=choices.on_empty,
        on_context_differs=choices.on_context_differs,
        on_unreadable=choices.on_unreadable,
        aside=rows_aside(context, path),
    )
    return Records(file.pairs, {source: file.rows}, file.dropped)


def read_stage_rated(context: StageContext, source: str, choices: PairReading) -> Records[RatedResponse]:
    """Responses that were called good or bad: both sides of a stage's pairs, or what `read_rated` finds in a file."""
    if source in context.pipeline.stages:
        pairs = read_records(context.stage_file(source, PAIRS), PreferencePair)
        return Records(both_sides(pairs), {source: len(pairs)})
    path = context.pipeline.resolve_path(source)
    file = read_rated(
        path,
        on_identical=choices.on_identical,
        on_empty=choices.on_empty,
        on_context_differs=choices.on_context_differs,
        on_unreadable=choices.on_unreadable,
        aside=rows_aside(context, path),
    )
    return Records(file.rated, {source: file.rows}, file.dropped)


def held_out_pairs(context: StageContext, config: RewardModelStage) -> dict[str, Records[PreferencePair]]:
    """Named sets that the reward model never trains on: the preferences stage's own part, and the files named."""
    sets: dict[str, Records[PreferencePair]] = {}
    if config.data in context.pipeline.stages:
        own = context.stage_file(config.data, HELD_OUT)
        pairs = read_records(own, PreferencePair) if own.exists() else []
        if pairs:
            sets["held_out"] = Records(pairs, {config.data: len(pairs)})
    for name, source in config.held_out.items():
        sets[name] = read_stage_pairs(context, source, config)
    return sets


def add_counts(*counts: dict[str, int]) -> dict[str, int]:
    """Sums by reason."""
    total: dict[str, int] = {}
    for part in counts:
        for reason, count in part.items():
            total[reason] = total.get(reason, 0) + count
    return total


def _read_files(
    context: StageContext, field_name: str, read: Callable[..., FileT], records_of: Callable[[FileT], list[T]]
) -> Records[T]:
    everything: Records[T] = Records([])
    for path in context.pipeline.file_inputs(context.name).get(field_name, []):
        file = read(path, aside=rows_aside(context, path))
        everything.records.extend(records_of(file))
        for into, counts in ((everything.read, {_shown(context, path): file.rows}), (everything.dropped, file.dropped)):
            into.update(add_counts(into, counts))
    return everything


def rows_aside(context: StageContext, path: Path) -> Refuse:
    """Where rows of a file that are left out go: the stage's side file."""
    return context.aside.of_file(path, _shown(context, path))


def _shown(context: StageContext, path: Path) -> str:
    """A file's name for people: from where data paths start, if it lies there."""
    root = context.pipeline.data_root
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _refuse_equal_ids(stage: str, ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for record_id in ids:
        if record_id in seen:
            raise DataError(
                f"stage {stage}: two prompts have the id {record_id!r}; expected ids that differ, since results are "
                "counted by them. Rename one of them in its file; where rows have no id, the file's name and line is "
                "theirs: rename one of the files."
            )
        seen.add(record_id)
