"""What a run folder holds, read once: the report computes nothing that these files do not say."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boresight.errors import DataError
from boresight.pipeline.artifacts import MANIFEST, RunFolder
from boresight.runlog.reader import MetricTable, read_metrics
from boresight.runlog.writer import METRICS_FILE, TIMINGS_FILE
from boresight.storage import read_json

Json = Mapping[str, Any]

POLICY_KINDS = ("ppo", "rloo", "dpo", "orpo", "simpo", "kto")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """One stage's folder. `result` is None where the stage has not finished, or where it is `outdated`: built from
    inputs that have been built anew since, so that its numbers belong to another run."""

    name: str
    kind: str
    folder: Path
    config: Json
    manifest: Json
    result: Json | None
    metrics: MetricTable
    """Timings included."""
    outdated: bool = False

    @property
    def done(self) -> bool:
        return self.result is not None

    @property
    def outcome(self) -> Json:
        """The result of a finished stage; an empty one otherwise."""
        return self.result or {}

    @property
    def seconds(self) -> float | None:
        """Wall-clock seconds of the stage, None where nothing was timed.

        The stage's own clock starts anew when it is resumed; the steps' times outlive a kill, so the longer one counts.
        """
        steps = self.metrics.series("time/step_seconds")
        whole = self.metrics.last("time/stage_seconds", "stage")
        return max(sum(point.value for point in steps), whole or 0.0) or None

    def rows(self, file_name: str) -> list[Json]:
        """The records of one of the stage's JSON-lines files; empty where there is no such file."""
        return read_rows(self.folder / file_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as its folder tells it, read once for the report."""

    name: str
    seed: int
    stages: tuple[StageRecord, ...]
    cost_per_hour: float | None = None
    quick: bool = False
    """A smoke test: its stages had a few steps each."""

    def finished(self, *kinds: str) -> list[StageRecord]:
        """Finished stages of these kinds (of all kinds where none is given), in the order of the run."""
        return [stage for stage in self.stages if stage.done and (not kinds or stage.kind in kinds)]

    def kind_of(self, name: str) -> str:
        """Kind of the stage of that name; a model that no stage of this run made is `base_model`."""
        return next((stage.kind for stage in self.stages if stage.name == name), "base_model")

    @property
    def unfinished(self) -> list[StageRecord]:
        return [stage for stage in self.stages if not stage.done]


def read_run(run_folder: Path) -> RunRecord:
    """Read run.json and every stage folder that it names. Raises DataError where this is no run folder."""
    index = run_folder / "run.json"
    if not run_folder.exists():
        raise DataError(
            f"{run_folder}: no such folder. Give the folder that `boresight run` printed, for example "
            "runs/kube-assistant."
        )
    if not index.is_file():
        raise DataError(
            f"{run_folder}: no run.json in this folder, so it is not a run. Give the folder that `boresight run` "
            "printed, for example runs/kube-assistant."
        )
    content = _read_object(index)
    if missing := [key for key in ("name", "seed", "stages") if key not in content]:
        raise DataError(
            f"{index}: holds no {', '.join(missing)}, so `boresight run` did not write it. Give the folder of a run."
        )
    stages = [_read_stage(run_folder / "stages", entry) for entry in content["stages"]]
    return RunRecord(
        name=str(content["name"]),
        seed=int(content["seed"]),
        stages=_without_outdated(stages, RunFolder(run_folder)),
        cost_per_hour=content.get("cost_per_hour"),
        quick=bool(content.get("quick")),
    )


def read_rows(path: Path) -> list[Json]:
    """Records of a JSON-lines file; empty where it does not exist. Raises DataError with file and line."""
    if not path.is_file():
        return []
    rows: list[Json] = []
    with path.open(encoding="utf-8") as lines:  # splitlines() would part a text at its U+2028 and U+0085 too
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise DataError(
                    f"{path}:{number}: not a JSON record ({error.msg}). Run the pipeline again: it makes the stage "
                    "anew."
                ) from error
    return rows


def measures_of(evaluation: StageRecord, model: str) -> Mapping[str, Json]:
    """Measures of one model of an evaluate stage, by name."""
    models: Mapping[str, Json] = evaluation.outcome.get("models", {})
    measures: Mapping[str, Json] = models.get(model, {}).get("measures", {})
    return measures


def _without_outdated(stages: Sequence[StageRecord], runs: RunFolder) -> tuple[StageRecord, ...]:
    """Stages of which an input was built anew since lose their results, and so do those that rest on them.

    An input whose folder is gone contradicts nothing.
    """
    made = {stage.name: runs.output_hash(stage.name) for stage in stages if stage.done}
    outdated: set[str] = set()
    for _ in stages:  # as often as the longest chain may be: run.json promises no order
        outdated |= {
            stage.name
            for stage in stages
            for sources in stage.manifest.get("inputs", {}).values()
            for source in sources
            if source.get("stage") in outdated or made.get(source.get("stage"), source["sha256"]) != source["sha256"]
        }
    nothing = MetricTable([], [], {})
    return tuple(
        replace(stage, result=None, manifest={}, metrics=nothing, outdated=True) if stage.name in outdated else stage
        for stage in stages
    )


def _read_stage(stages: Path, entry: Json) -> StageRecord:
    """A finished stage has its own folder with a manifest; of one under way the metrics are read."""
    finished = stages / entry["name"]
    done = (finished / MANIFEST).is_file()
    folder = finished if done else stages / f"{entry['name']}.partial"
    config = folder / "config.json"
    logged = any((folder / name).exists() for name in (METRICS_FILE, TIMINGS_FILE))
    return StageRecord(
        name=str(entry["name"]),
        kind=str(entry["kind"]),
        folder=folder,
        config=_read_object(config) if config.is_file() else {},
        manifest=_read_object(folder / MANIFEST) if done else {},
        result=_read_object(folder / "result.json") if done else None,
        metrics=read_metrics(folder) if logged else MetricTable([], [], {}),
    )


def _read_object(path: Path) -> Json:
    try:
        content = read_json(path)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg}). Run the pipeline again.") from error
    except FileNotFoundError:
        raise DataError(
            f"{path}: is missing, though the stage was finished. Bring the file back, or remove the folder "
            f"{path.parent} and run the pipeline again."
        ) from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: found {type(content).__name__}, expected one JSON object. Run the pipeline again.")
    return content
