"""The cure that a finding prescribes, tried: a stage trained again for some steps with that one change.

It goes on from the checkpoint of a stage that was interrupted before the fault showed, and otherwise from the start,
in a folder of its own, `verify/STAGE-FINDING` of the run; the stage itself is left as it is.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

from boresight.config.load import load_pipeline
from boresight.config.pipeline import Pipeline
from boresight.config.sections import PolicyStage
from boresight.data.refusals import RowsAside
from boresight.diagnosis.diagnose import diagnose
from boresight.diagnosis.live import alarm_step, until
from boresight.diagnosis.readers.folders import read_stage
from boresight.diagnosis.rules.cures import CURES, WHY_NOT, Cure
from boresight.diagnosis.rules.rule import Finding
from boresight.diagnosis.signals import LoggedRun
from boresight.errors import DataError
from boresight.models.loading import default_device
from boresight.models.precision import arithmetic
from boresight.pipeline.artifacts import RunFolder, stage_config
from boresight.pipeline.context import StageContext, identify
from boresight.pipeline.run import STAGES, prepare_torch
from boresight.storage import read_json, write_json
from boresight.training.run import Run

KINDS = ("ppo", "rloo", "dpo")
MOST_STEPS = 60
"""Steps where nothing else is said and the stage has more."""

NOT_KEPT = ("model", "adapter", "checkpoint.pt", "checkpoint")
"""What a trial makes besides its log: it is a part of a run, and its model is no result."""


class Trial(NamedTuple):
    """A cure that was tried; `outcome` is cured, not cured, or not shown (the fault is not there yet in as many steps
    of the stage itself)."""

    stage: str
    kind: str
    finding: str
    words: str
    changes: dict[str, tuple[Any, Any]]
    began_at: int
    steps: int
    outcome: str
    before: LoggedRun
    after: LoggedRun
    folder: Path


@dataclass(frozen=True, slots=True)
class TrialContext(StageContext):
    """A stage that ends after so many steps, its schedules those of the whole."""

    steps: int = 0

    def run(self) -> Run:
        return ShortRun(self.folder, title=self.name, key=self.identity.key, seed=self.seed, limit=self.steps)


class ShortRun(Run):
    def __init__(self, folder: Path, *, title: str, key: str, seed: int, limit: int) -> None:
        super().__init__(folder, title=title, key=key, seed=seed)
        self._limit = limit

    def steps(self, total: int) -> Iterator[int]:
        for step in super().steps(total):
            if step >= self._limit:
                return
            yield step


def try_cure(
    stage_folder: Path,
    *,
    finding: str | None = None,
    steps: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Trial:
    """Train a stage of a run again with the change that its first testable finding (or the one named) prescribes.

    Raises DataError for what is no stage of a run, has no such finding, or whose finding has no testable cure.
    """
    root, name, kind = _place(stage_folder)
    run = read_stage(stage_folder, kind).run
    chosen, cure = _testable(stage_folder, run, finding)
    pipeline = load_pipeline(root / "pipeline.yaml")
    _refuse_other_settings(stage_folder, pipeline, name)
    settings = pipeline.stages[name].model_dump()
    changes = {key: (settings[key], value) for key, value in cure.change(settings).items() if settings[key] != value}
    began = _last_good(stage_folder, run, chosen.id) if kind in ("ppo", "rloo") else 0
    last = min(began + MOST_STEPS, int(run.last_step) + 1) if steps is None else began + steps
    changed = load_pipeline(root / "pipeline.yaml", _overrides(name, changes, pipeline))
    folder = root / "verify" / f"{name}-{chosen.id}"
    said = ", ".join(f"{key} {old} → {new}" for key, (old, new) in changes.items())
    say(f"{name}: {chosen.id}: {cure.words} ({said}); steps {began} to {last - 1}, into {folder}")
    _train(changed, RunFolder(root), name, folder, stage_folder if began else None, last)
    before, after = until(run, last - 1), read_stage(folder, kind).run
    return Trial(
        name, kind, chosen.id, cure.words, changes, began, last - began, _outcome(chosen.id, before, after), before,
        after, folder,
    )  # fmt: skip


def _place(folder: Path) -> tuple[Path, str, str]:
    """The run, the name and the kind of a stage's folder."""
    root, config = folder.resolve().parent.parent, folder / "config.json"
    if folder.resolve().parent.name != "stages" or not (root / "pipeline.yaml").is_file() or not config.is_file():
        raise DataError(
            f"{folder}: --verify trains a stage again, so it wants the folder of one, RUN/stages/NAME, in a run of "
            "boresight; a log of another framework cannot be gone on with."
        )
    kind = str(read_json(config).get("kind"))
    if kind not in KINDS:
        raise DataError(
            f"{folder}: a stage of the kind {kind}; --verify tries cures of {', '.join(KINDS)}."
            " Name a stage of one of these."
        )
    return root, folder.name.removesuffix(".partial"), kind


def _testable(folder: Path, run: LoggedRun, wanted: str | None) -> tuple[Finding, Cure]:
    alarms = [found for found in diagnose(run).findings if found.severity != "note"]
    if wanted is not None:
        alarms = [found for found in alarms if found.id == wanted]
    if not alarms:
        what = f"no finding {wanted}" if wanted else "nothing above a note"
        raise DataError(f"{folder}: {what} was found, so there is no cure to try. See `boresight diagnose {folder}`.")
    for found in alarms:
        if found.id in CURES:
            return found, CURES[found.id]
    reasons = "; ".join(f"{found.id} wants {WHY_NOT.get(found.id, 'what no setting gives')}" for found in alarms)
    raise DataError(f"{folder}: no cure that is a change of settings: {reasons}. Do what its finding says by hand.")


def _refuse_other_settings(folder: Path, pipeline: Pipeline, name: str) -> None:
    if name not in pipeline.stages:
        raise DataError(
            f"{folder}: the run's pipeline.yaml has no stage {name}; it was changed since this one ran."
            " Run the pipeline again, then try the cure."
        )
    found, now = read_json(folder / "config.json"), stage_config(pipeline.stages[name])
    if changed := sorted(key for key in {*found, *now} if found.get(key) != now.get(key)):
        raise DataError(
            f"{folder}: the run's pipeline.yaml has other settings than this stage ran with ({', '.join(changed)}); "
            "more than the cure would differ. Run the pipeline as it was, or verify the newer stage."
        )


def _overrides(name: str, changes: Mapping[str, tuple[Any, Any]], pipeline: Pipeline) -> list[str]:
    values = {key: new for key, (_, new) in changes.items()}
    if isinstance(pipeline.stages[name], PolicyStage):
        values["on_finding"] = "note"  # a trial runs its steps, whatever is found
    return [f"stages.{name}.{key}={yaml.safe_dump(value).splitlines()[0]}" for key, value in values.items()]


def _last_good(folder: Path, run: LoggedRun, finding: str) -> int:
    """The step of the stage's checkpoint where the fault had not shown by then; 0 where it had, or there is none."""
    checkpoint = folder / "checkpoint.pt"
    if not checkpoint.is_file():
        return 0
    step = int(torch.load(checkpoint, weights_only=True)["next_step"])
    shown = alarm_step(run, (finding,))
    return step if shown is None or step <= shown else 0


def _train(pipeline: Pipeline, runs: RunFolder, name: str, folder: Path, start: Path | None, last: int) -> None:
    """Train the stage in `folder`, from the checkpoint in `start` where that is given."""
    prepare_torch(pipeline)
    identity = identify(name, pipeline, runs)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(folder / "config.json", dict(identity.config))
    if start is not None:
        _take_over(start, folder, identity.key, getattr(pipeline.stages[name], "kl_coefficient", None))
    config = pipeline.stages[name]
    with RowsAside() as aside, arithmetic(pipeline.sections.model.dtype, default_device()):
        context = TrialContext(name, config, pipeline, runs, identity, folder, aside, steps=last)
        STAGES[config.kind](context, config)
    for left in (folder / name for name in NOT_KEPT):
        if left.is_dir():
            shutil.rmtree(left)
        left.unlink(missing_ok=True)


def _take_over(start: Path, folder: Path, key: str, kl_coefficient: float | None) -> None:
    """The checkpoint of a stage as that of a trial: with the new coefficient, and a guard that has told nothing."""
    state = torch.load(start / "checkpoint.pt", weights_only=True)
    state["key"] = key
    state["parts"]["guard"] = {"told": {}, "stopped": ""}
    state["parts"]["kl_coefficient"] = {"value": kl_coefficient}
    torch.save(state, folder / "checkpoint.pt")
    for log in state["metrics_position"]:
        if (start / log).is_file():
            shutil.copy(start / log, folder / log)


def _outcome(finding: str, before: LoggedRun, after: LoggedRun) -> str:
    had, has = (finding in _alarms(run) for run in (before, after))
    return "not shown" if not had else "not cured" if has else "cured"


def _alarms(run: LoggedRun) -> set[str]:
    return {found.id for found in diagnose(run).findings if found.severity != "note"}
