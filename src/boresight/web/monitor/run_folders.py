"""Which runs a folder holds, and how each of their stages stands, by what lies on the disk and nothing else."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from boresight.runlog.writer import METRICS_FILE

State = Literal["done", "failed", "running", "silent", "waiting"]

MANIFEST = "manifest.json"
"""Written last of all by a stage that is done (boresight.pipeline.artifacts, which would double the time to start)."""

SILENT_AFTER = 120.0
"""Seconds without a new byte after which a stage under way is called silent, or five of its steps if that is longer."""

STEPS_OF_SILENCE = 5


@dataclass(frozen=True, slots=True)
class StagePlace:
    """One stage: `folder` is None where it has not begun, `done` where its artifact is whole."""

    name: str
    kind: str
    folder: Path | None
    done: bool

    def read(self, file: str) -> Mapping[str, Any]:
        """One of its JSON files; empty where there is none, or none that is whole."""
        return _json_object(self.folder / file) if self.folder is not None else {}

    @property
    def changed(self) -> float | None:
        """When something in its folder was written last, in seconds of the epoch."""
        if self.folder is None:
            return None
        times = []
        for path in (self.folder, *self.folder.glob("*"), *self.folder.glob("chunks/*")):
            try:
                times.append(path.stat().st_mtime)
            except FileNotFoundError:  # put in its place at this moment
                continue
        return max(times, default=None)

    def state(self, step_seconds: float | None = None, now: float | None = None) -> State:
        """How it stands. Nobody can see from its files whether a process is alive, only when it wrote last."""
        if self.done:
            return "failed" if self.read("result.json").get("passed") is False else "done"
        changed = self.changed
        if changed is None:
            return "waiting"
        quiet = (time.time() if now is None else now) - changed
        return "silent" if quiet > max(SILENT_AFTER, STEPS_OF_SILENCE * (step_seconds or 0.0)) else "running"


@dataclass(frozen=True, slots=True)
class RunPlace:
    """One run, its stages in their order."""

    name: str
    folder: Path
    stages: tuple[StagePlace, ...]

    def stage(self, name: str) -> StagePlace | None:
        """The stage of that name, if the run has it."""
        return next((stage for stage in self.stages if stage.name == name), None)

    @property
    def current(self) -> StagePlace | None:
        """The stage under way; without one the last that was built, without any the first."""
        begun = [stage for stage in self.stages if stage.folder is not None]
        under_way = [stage for stage in begun if not stage.done]
        logged = [stage for stage in begun if stage.folder is not None and (stage.folder / METRICS_FILE).exists()]
        return next(iter([*under_way[-1:], *logged[-1:], *begun[-1:], *self.stages[:1]]), None)


def is_run(folder: Path) -> bool:
    """Whether the folder holds a run of ours."""
    return any((folder / name).exists() for name in ("run.json", "stages", METRICS_FILE))


def find_runs(root: Path) -> list[RunPlace]:
    """The run that a folder is, or the runs that lie in it, those that changed last first."""
    if is_run(root):
        return [read_place(root)]
    inside = root.iterdir() if root.is_dir() else ()  # it may be removed while it is watched
    folders = [folder for folder in inside if folder.is_dir() and not folder.name.startswith(".")]
    runs = [read_place(folder) for folder in folders if is_run(folder)]
    return sorted(runs, key=lambda run: (-max((s.changed or 0.0 for s in run.stages), default=0.0), run.name))


def read_place(folder: Path) -> RunPlace:
    """A run's stages: those that its pipeline names, and any other that has a folder."""
    folder = Path(os.path.abspath(folder))  # "." has no name, and a link keeps its own
    if (folder / METRICS_FILE).is_file():  # a stage by itself
        kind = str(_json_object(folder / "config.json").get("kind", ""))
        name = folder.name.removesuffix(".partial")
        return RunPlace(name, folder, (StagePlace(name, kind, folder, (folder / MANIFEST).exists()),))
    kinds = _planned(folder)
    for found in sorted(folder.glob("stages/*/")):
        name = found.name.removesuffix(".partial")
        kinds.setdefault(name, str(_json_object(found / "config.json").get("kind", "")))
    return RunPlace(folder.name, folder, tuple(_stage(folder, name, kind) for name, kind in kinds.items()))


def _planned(folder: Path) -> dict[str, str]:
    """Name -> kind of the stages, from the pipeline file that a run keeps, which is there before its first stage."""
    try:
        pipeline = yaml.safe_load((folder / "pipeline.yaml").read_text(encoding="utf-8"))
        return {str(name): str(stage["kind"]) for name, stage in pipeline["stages"].items()}
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        stages = _json_object(folder / "run.json").get("stages", [])
        return {str(one["name"]): str(one.get("kind", "")) for one in stages if isinstance(one, dict) and "name" in one}


def _stage(run: Path, name: str, kind: str) -> StagePlace:
    """A stage that is built anew shows its new folder, as it is what happens now."""
    partial, finished = run / "stages" / f"{name}.partial", run / "stages" / name
    if partial.is_dir():
        return StagePlace(name, kind, partial, False)
    if finished.is_dir():
        return StagePlace(name, kind, finished, (finished / MANIFEST).is_file())
    return StagePlace(name, kind, None, False)


def _json_object(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
