"""A checked pipeline file: its stages in the order they run, what each takes from where, and its resolved text."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from boresight.config.references import dependency_order, entries, file_entries, resolve, stage_entries, stage_inputs
from boresight.config.sections import DataSection, ModelSection, PipelineSections, Section, Stage
from boresight.config.yaml_text import dump_yaml

RESOLVED = "# Resolved configuration of the run"
"""How the file begins that a run keeps of its own settings."""


def stage_seed(root_seed: int, stage_name: str) -> int:
    """The seed of one stage, 0 <= seed < 2**32, so that any generator takes it.

    It rests on nothing but the root seed and the stage's name: stages added, left out or moved change no other's.
    """
    digest = hashlib.sha256(f"{root_seed}/{stage_name}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def data_root(path: Path, data: DataSection) -> Path:
    """The folder that relative data paths start from: `data.root`, or where the pipeline file `path` lies."""
    folder = path.resolve().parent
    return folder if data.root is None else resolve(data.root, folder)


def model_location(path: Path, model: ModelSection) -> str | None:
    """The base model's folder, absolute, if there is one beside the pipeline file; otherwise `model.path` as it is,
    the name of a model on a hub."""
    if model.path is None:
        return None
    folder = resolve(model.path, path.resolve().parent)
    return str(folder) if folder.is_dir() else model.path


@dataclass(frozen=True)
class Pipeline:
    """What `boresight.config.load.load_pipeline` returns: names, kinds and files of all stages are known to fit."""

    path: Path
    sections: PipelineSections
    quick: bool = False
    """Shrunk to a smoke test by the file's `quick` section."""

    @property
    def name(self) -> str:
        return self.sections.run.name

    @property
    def seed(self) -> int:
        return self.sections.run.seed

    @cached_property
    def stages(self) -> Mapping[str, Stage]:
        """All stages by name, each after those it needs; otherwise in the order of the file."""
        stages = self.sections.stages
        order = dependency_order({name: stage_inputs(stage, stages) for name, stage in stages.items()})
        return {name: stages[name] for name in order}

    def references(self, stage: str) -> dict[str, list[str]]:
        """Stage names by the field of `stage` that names them (`judge.model` is dotted); `base_model` is left out."""
        found: dict[str, list[str]] = {}
        for entry in stage_entries(self.sections.stages[stage], self.sections.stages):
            found.setdefault(entry.field, []).append(entry.text)
        return found

    def stage_inputs(self, stage: str) -> list[str]:
        """The stages that `stage` needs directly, each once."""
        return stage_inputs(self.sections.stages[stage], self.sections.stages)

    def file_inputs(self, stage: str) -> dict[str, list[Path]]:
        """The files and folders of data that `stage` reads, absolute, by field."""
        found: dict[str, list[Path]] = {}
        for entry in file_entries(self.sections.stages[stage], self.sections.stages):
            found.setdefault(entry.field, []).append(self.resolve_path(entry.text))
        return found

    def late_files(self, stage: str) -> dict[str, list[Path]]:
        """Files that may come while the run waits for them, absolute, by field, whether they are there or not."""
        section = self.sections.stages[stage]
        named = ((field, entries(section, field)) for field in section.LATE_PATHS)
        return {field: [self.resolve_path(one.text) for one in found] for field, found in named if found}

    def ancestors(self, stage: str) -> list[str]:
        """All stages that `stage` needs, directly or through others, in the order they run."""
        needed: set[str] = set()
        waiting = self.stage_inputs(stage)
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed.add(name)
                waiting.extend(self.stage_inputs(name))
        return [name for name in self.stages if name in needed]

    def stage_seed(self, stage: str) -> int:
        """The seed of a stage: of the run's seed and the stage's name, so that other stages do not move it."""
        return stage_seed(self.seed, stage)

    @cached_property
    def data_root(self) -> Path:
        return data_root(self.path, self.sections.data)

    def resolve_path(self, text: str) -> Path:
        """A data path of the file as an absolute path."""
        return resolve(text, self.data_root)

    @property
    def model_path(self) -> str | None:
        """Where the base model is: an absolute folder, or a hub name where there is no such folder."""
        return model_location(self.path, self.sections.model)

    def to_yaml(self) -> str:
        """The whole configuration, defaults and overrides included. Relative places are made absolute, so that it
        loads to the same run from any folder on this machine."""
        values = _written(self.sections)
        values["data"] = {"root": str(self.data_root)}
        if self.model_path is not None:
            values["model"]["path"] = self.model_path
        return f"{RESOLVED} {self.name}; it can be run again.\n{dump_yaml(values)}"


def _written(value: Any) -> Any:
    """Settings as plain values; null is left out where it is the default, and kept where it says something."""
    if isinstance(value, Section):
        fields = type(value).model_fields
        found = {name: getattr(value, name) for name in fields}
        return {n: _written(v) for n, v in found.items() if v is not None or fields[n].default is not None}
    if isinstance(value, dict):
        return {name: _written(item) for name, item in value.items()}
    return [_written(item) for item in value] if isinstance(value, list) else value
