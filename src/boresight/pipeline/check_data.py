"""The data files of a pipeline, each read once with the settings that its stage reads it with."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from boresight.config.pipeline import Pipeline
from boresight.config.sections import KTOStage, PairReading, PreferencesStage, StageSection
from boresight.data.filters import Filtered, Filters, filter_pairs
from boresight.data.rated import RatedFile, read_rated
from boresight.data.readers import (
    DemonstrationFile,
    DocumentFile,
    FileReading,
    PairFile,
    PromptFile,
    read_demonstrations,
    read_documents,
    read_pairs,
    read_prompts,
)
from boresight.data.split import hold_out
from boresight.errors import DataError, JudgeError
from boresight.evaluation.probe_sets import read_probes
from boresight.feedback.calibration import load_calibration
from boresight.feedback.constitution import load_constitution
from boresight.feedback.human_votes import read_human_votes
from boresight.feedback.rubric import load_rubric
from boresight.pipeline.check_findings import Finding
from boresight.records import Demonstration, PreferencePair, Prompt, RatedResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFile(FileReading):
    """Behaviour probes: read to see that they can be."""


DataFile = ProbeFile | DocumentFile | DemonstrationFile | PromptFile | PairFile | RatedFile
COLUMN_FILE = re.compile(r"\.(csv|tsv)(\.gz)?$")
"""A stage's `columns` are those of its tables; other sources name their fields themselves."""


@dataclass(slots=True)
class StageData:
    """Records of one stage's own files, as far as they could be read."""

    documents: list[str] = field(default_factory=list)
    demonstrations: list[Demonstration] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    pairs: list[PreferencePair] = field(default_factory=list)
    held_out: list[PreferencePair] = field(default_factory=list)
    rated: list[RatedResponse] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FileLine:
    """One file in the list of data: `used` of its `rows` go into the stages."""

    path: Path
    stages: tuple[str, ...]
    format: str
    rows: int
    used: int


@dataclass(slots=True)
class PipelineData:
    """The data that stages name, read once for all checks, and the faults of those that cannot be read."""

    stages: dict[str, StageData]
    files: list[FileLine]
    findings: list[Finding]


def read_data(pipeline: Pipeline) -> PipelineData:
    """Read every file that a stage names; what cannot be read becomes a finding, and the rest is read all the same."""
    data = PipelineData({name: StageData() for name in pipeline.stages}, [], [])
    known: dict[tuple[Any, ...], DataFile | DataError] = {}
    lines: dict[tuple[Any, ...], FileLine] = {}
    for name, stage in pipeline.stages.items():
        for field_name, paths in pipeline.file_inputs(name).items():
            if (load := NO_DATA.get(field_name.rpartition(".")[2])) is not None:  # but as easily broken
                data.findings.extend(_faults(name, paths, load))
                continue
            files: list[DataFile | DataError] = []
            for path in paths:
                key, read = _reader(stage, field_name, path)
                first_time = key not in known
                if first_time:
                    known[key] = _attempt(read)
                found = known[key]
                files.append(found)
                if isinstance(found, DataError):
                    data.findings.append(Finding("data_unusable", "error", name, str(found), DataError))
                    continue
                _take(data.stages[name], field_name, found)
                lines[key] = _line(lines.get(key), path, name, found)
                if first_time:
                    data.findings.extend(_oddities(name, path, found))
            data.findings.extend(_nothing_left(pipeline, name, field_name, files))
        data.findings.extend(_late_findings(pipeline, name))
        data.findings.extend(_set_findings(pipeline, name, data.stages[name]))
    data.files.extend(lines.values())
    return data


def _faults(name: str, paths: Sequence[Path], load: Callable[[str], object]) -> Iterator[Finding]:
    for path in paths:
        try:
            load(str(path))
        except (DataError, JudgeError) as fault:
            yield Finding("data_unusable", "error", name, str(fault), type(fault))


def _late_findings(pipeline: Pipeline, name: str) -> Iterator[Finding]:
    """People's answers that are there are read; for those that are not, the run will wait."""
    for paths in pipeline.late_files(name).values():
        there = [path for path in paths if path.exists()]
        yield from _faults(name, there, lambda path: read_human_votes([Path(path)]))
        if len(there) < len(paths):
            absent = ", ".join(str(path) for path in paths if path not in there)
            yield Finding(
                "waits_for_people", "note", name, f"the run will stop here until people have answered in {absent}."
            )


def _model_folder(path: str) -> None:
    if not (Path(path) / "config.json").is_file():
        raise JudgeError(f"{path}: no model (config.json is not there). Give a folder that transformers loads.")


NO_DATA: dict[str, Callable[[str], object]] = {
    "rubric_file": load_rubric,
    "constitution_file": load_constitution,
    "path": _model_folder,
    "calibration": lambda path: load_calibration(Path(path)),
}
"""What is read in fields of a stage that name other files than data."""


def _reader(stage: StageSection, field_name: str, path: Path) -> tuple[tuple[Any, ...], Callable[[], DataFile]]:
    """How a stage reads a file, and what makes that reading differ from another one of the same file."""
    if field_name == "probe_sets":
        return ("probes", path), lambda: _probe_file(path)
    if field_name == "prompts":
        return ("prompts", path), lambda: read_prompts(path)
    if stage.kind == "pretrain":
        return ("documents", path), lambda: read_documents(path)
    if stage.kind == "sft":
        return ("demonstrations", path), lambda: read_demonstrations(path)
    assert isinstance(stage, PairReading)  # every other stage with files reads pairs
    columns = None
    if isinstance(stage, PreferencesStage) and COLUMN_FILE.search(path.name):
        columns = {str(part): name for part, name in stage.columns.items()}
    choices = (stage.on_identical, stage.on_empty, stage.on_context_differs, stage.on_unreadable)
    if stage.kind == "kto":
        return ("rated", path, *choices), lambda: read_rated(
            path,
            on_identical=choices[0],
            on_empty=choices[1],
            on_context_differs=choices[2],
            on_unreadable=choices[3],
        )
    return ("pairs", path, str(columns), *choices), lambda: read_pairs(
        path,
        columns=columns,
        on_identical=choices[0],
        on_empty=choices[1],
        on_context_differs=choices[2],
        on_unreadable=choices[3],
    )


def _probe_file(path: Path) -> ProbeFile:
    return ProbeFile(format="probes", rows=len(read_probes(path)), dropped={}, examples={}, unused_columns=())


def _attempt(read: Callable[[], DataFile]) -> DataFile | DataError:
    try:
        return read()
    except DataError as error:
        return error


def _take(into: StageData, field_name: str, file: DataFile) -> None:
    if isinstance(file, ProbeFile):
        return
    if isinstance(file, DocumentFile):
        into.documents.extend(file.documents)
    elif isinstance(file, DemonstrationFile):
        into.demonstrations.extend(file.demonstrations)
    elif isinstance(file, PromptFile):
        into.prompts.extend(file.prompts)
    elif isinstance(file, RatedFile):
        into.rated.extend(file.rated)
    elif field_name == "held_out":
        into.held_out.extend(file.pairs)
    else:
        into.pairs.extend(file.pairs)


def _nothing_left(
    pipeline: Pipeline, name: str, field_name: str, files: Sequence[DataFile | DataError]
) -> Iterator[Finding]:
    """Files that can be read, but of which every row is left out: the stage would stop at them. Held-out sets are a
    file each; elsewhere the files of a field, and what stages make for it, go together."""
    read = [file for file in files if not isinstance(file, DataError)]
    others = len(read) < len(files) or field_name in pipeline.references(name)
    for group in [[file] for file in read] if field_name == "held_out" else [] if others else [read]:
        if group and not any(_holds_records(file) for file in group):
            dropped = sum((Counter(file.dropped) for file in group), Counter[str]())
            rows = sum(file.rows for file in group)
            yield Finding(
                "nothing_left",
                "error",
                name,
                f"{field_name}: all {rows} rows are left out ({_listed(dropped)}); expected at least one that "
                "stays. Give other data, or correct the rows.",
                DataError,
            )


def _holds_records(file: DataFile) -> bool:
    """Of a row that holds a ranking some pairs may stay, so that the counts of rows do not tell."""
    into = StageData()
    _take(into, "", file)
    return isinstance(file, ProbeFile) or any(getattr(into, spec.name) for spec in fields(into))


def _listed(counts: Mapping[str, int]) -> str:
    """`identical 1, empty_prompt 2` of {identical: 1, empty_prompt: 2}."""
    return ", ".join(f"{reason} {count}" for reason, count in counts.items())


def _line(before: FileLine | None, path: Path, stage: str, file: DataFile) -> FileLine:
    stages = (*(before.stages if before else ()), stage)
    return FileLine(path, tuple(dict.fromkeys(stages)), file.format, file.rows, file.rows - sum(file.dropped.values()))


def _oddities(stage: str, path: Path, file: DataFile) -> Iterator[Finding]:
    for reason, count in file.dropped.items():
        lines = ", ".join(str(line) for line in file.examples.get(reason, []))
        where = f" (first at {lines})" if lines else ""
        yield Finding("rows_left_out", "note", stage, f"{path}: {count} of {file.rows} rows left out: {reason}{where}")
    if file.unused_columns:
        listed = ", ".join(file.unused_columns)
        yield Finding("columns_not_read", "note", stage, f"{path}: columns that are not read: {listed}")


def _set_findings(pipeline: Pipeline, name: str, data: StageData) -> Iterator[Finding]:
    """What the files of a stage are wrong about together."""
    twice = [prompt_id for prompt_id, count in Counter(p.id for p in data.prompts).items() if count > 1]
    if twice:
        yield Finding(
            "equal_prompt_ids",
            "error",
            name,
            f"{len(twice)} ids name two prompts each (first: {twice[0]!r}); results are counted by id. Rename them in "
            "one of the files; where rows have no id, the file's name and line is theirs: rename one of the files.",
            DataError,
        )
    stage = pipeline.stages[name]
    if isinstance(stage, PreferencesStage) and data.pairs:
        filtered = filter_pairs(data.pairs, Filters(**stage.filters.model_dump()))
        yield from _filter_findings(pipeline, name, data.pairs, filtered)
        yield from _soft_label_findings(pipeline, name, filtered.kept)
        yield from _held_out_findings(pipeline, name, stage, filtered.kept)


def _filter_findings(
    pipeline: Pipeline, name: str, pairs: list[PreferencePair], filtered: Filtered
) -> Iterator[Finding]:
    if filtered.dropped:
        kept = filtered.kept
        listed = _listed(filtered.counts())
        alone = not pipeline.references(name)
        yield Finding(
            "pairs_filtered",
            "error" if alone and not kept else "note",
            name,
            f"of {len(pairs)} pairs from files {len(kept)} are kept; left out: {listed}",
            DataError,
        )


def _soft_label_findings(pipeline: Pipeline, name: str, pairs: list[PreferencePair]) -> Iterator[Finding]:
    """Stages of single responses that would stop at the first pair of these which says nothing of one alone."""
    soft = [pair for pair in pairs if pair.p_chosen != 1.0]
    takers = [kto for kto, stage in pipeline.stages.items() if isinstance(stage, KTOStage) and stage.data == name]
    for taker in takers if soft else ():
        ties = sum(pair.p_chosen == 0.5 for pair in soft)
        cure = f"Set stages.{name}.filters.ties: drop, or train by dpo" if ties == len(soft) else "Train by dpo"
        yield Finding(
            "soft_labels",
            "error",
            taker,
            f"{len(soft)} of {len(pairs)} pairs of {name} have a soft label ({ties} of them ties; first: "
            f"{soft[0].id!r}, p_chosen {soft[0].p_chosen:g}), which cannot be told of one response alone. {cure}, "
            "which uses them.",
            DataError,
        )


def _held_out_findings(
    pipeline: Pipeline, name: str, stage: PreferencesStage, pairs: list[PreferencePair]
) -> Iterator[Finding]:
    try:
        split = hold_out(pairs, stage.held_out_fraction, pipeline.stage_seed(name), stage.held_out_groups)
    except DataError as error:
        yield Finding("paraphrases_not_searched", "error", name, str(error), DataError)
        return
    if split.aside:
        yield Finding(
            "pairs_near_both_parts",
            "note",
            name,
            f"of {len(pairs)} pairs from files {len(split.aside)} are near duplicates both of pairs to train on and of "
            "held-out ones; they are left out",
        )
