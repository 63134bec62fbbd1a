"""What a translation comes to: sections of a pipeline file, what was named instead, and the stages of each method."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from boresight.config.problems import dotted, field_problems
from boresight.config.sections import PipelineSections
from boresight.config.yaml_text import dump_yaml
from boresight.errors import ConfigError
from boresight.migration.data_files import DataFile
from boresight.migration.settings import Named, Settings

PAIRED = ("reward_model", "dpo", "orpo", "simpo")
NEVER_TRUNCATED = (
    "rows longer than max_length are left out and counted (on_too_long: drop); there they are cut off, or left out too"
)


@dataclass(frozen=True, kw_only=True)
class Translation:
    """A config of another tool as a pipeline, with what became of each of its settings."""

    tool: str
    source: Path
    sections: dict[str, Any]
    """The pipeline file as plain values."""
    translated: list[str]
    named: list[Named]
    """Settings of the file that are not carried over, or only nearly."""
    assumed: list[str]
    """Differences that no setting of the file tells of."""
    files: list[DataFile]

    @property
    def missing(self) -> list[str]:
        """How to fetch the data that are not there yet."""
        return [file.fetch for file in self.files if file.fetch]


def translation(
    settings: Settings, tool: str, sections: dict[str, Any], assumed: list[str], files: list[DataFile]
) -> Translation:
    """The result, once `settings.finish` has named the rest.

    Raises ConfigError, with the file, where what was written does not hold against the schema.
    """
    try:
        PipelineSections.model_validate(sections, strict=True)
    except ValidationError as error:
        problems = field_problems(error, sections)
        raise ConfigError(
            [f"{settings.path}: {dotted(problem.path)} would be {problem.message}" for problem in problems]
        ) from error
    return Translation(
        tool=tool,
        source=settings.path,
        sections=sections,
        translated=sorted(settings.translated),
        named=settings.named,
        assumed=list(dict.fromkeys(assumed)),
        files=files,
    )


def stages_of(kind: str, files: list[DataFile], fields: dict[str, Any], held_out: float, assumed: list[str]) -> Any:
    """The stages of one method by name: for pairs one that reads them, so that nothing is dropped unsaid."""
    places = [file.place for file in files]
    start = {"policy": "base_model", "reference": "base_model"} if kind in ("dpo", "kto") else {"start": "base_model"}
    name = "scorer" if kind == "reward_model" else kind
    if kind not in PAIRED:
        if kind == "kto" and len(places) > 1:
            assumed.append(f"a kto stage reads one file, and {places[0]} is taken alone; join it with {places[1:]}")
        data = places if len(places) > 1 and kind != "kto" else places[0]
        return {name: {"kind": kind, **start, "data": data, **fields}}
    pairs = {
        "kind": "preferences", "sources": places, "filters": {"duplicates": "keep"}, "held_out_fraction": held_out,
    }  # fmt: skip
    if held_out == 0 and kind == "reward_model":
        assumed.append("no pairs are held out, so the reward model gets no certificate; set pairs.held_out_fraction")
    return {"pairs": pairs, name: {"kind": kind, **start, "data": "pairs", **fields}}


def pipeline_text(found: Translation) -> str:
    """The pipeline file; what has no counterpart stands at its head, where it is read."""
    lines = [
        f"# Translated from {found.source.name} ({found.tool}) by `boresight init`: {len(found.translated)} settings.",
        *_list("Without a counterpart, or with a near one alone:", [str(named) for named in found.named]),
        *_list("Differences that no setting of that file tells of:", found.assumed),
        *_list("Data that have to come here first:", found.missing),
        "# First: boresight check THIS_FILE; then: boresight run THIS_FILE",
        "",
        dump_yaml(found.sections),
    ]
    return "\n".join(lines)


def _list(title: str, items: list[str]) -> list[str]:
    shown = [item.replace("\n", " ") for item in items]
    return [f"# {title}", *(f"#   {item}" for item in shown)] if shown else []
