"""All that the pages show, read from the disk when it is asked for and kept between two questions."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from boresight.storage import read_json
from boresight.web.monitor.charts import FOUR_SIGNALS, SIGNALS, as_objects, charts_of, title_of
from boresight.web.monitor.doctor import Doctor, Report
from boresight.web.monitor.run_folders import RunPlace, StagePlace, State, find_runs
from boresight.web.monitor.stage_log import StageLog, newest

GUARD_FILE = "findings.json"
"""What the guard of a stage has told (written by boresight.training.guard, which needs torch)."""

SECONDS_KEPT = 0.5
"""How long a reading of the folder serves: many pages that are open at once read the disk once."""

RESPONSES_SHOWN = 8


class StageView(NamedTuple):
    """One stage as a page shows it. `progress` is a share of the whole, None where the end is not known."""

    name: str
    kind: str
    state: State
    step: int | None
    steps: int | None
    progress: float | None
    seconds_left: float | None
    changed: float | None
    report: Report | None


class Latest(NamedTuple):
    """The last value of a signal."""

    title: str
    value: float | None
    unit: str


class RunView(NamedTuple):
    name: str
    state: State
    stages: tuple[StageView, ...]
    current: StageView | None
    changed: float | None


class _Stage:
    """What is kept of one stage between two questions."""

    def __init__(self) -> None:
        self.log, self.doctor, self.lock = StageLog(), Doctor(), threading.Lock()


class Watch:
    """The runs of a folder. Names are looked up among those found, never joined to a path."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self._clock = clock
        self._lock = threading.Lock()
        self._runs: dict[str, RunPlace] = {}
        self._read_at = float("-inf")
        self._stages: dict[tuple[str, str], _Stage] = {}

    def places(self) -> Mapping[str, RunPlace]:
        with self._lock:
            if self._clock() - self._read_at >= SECONDS_KEPT:
                self._runs = {run.name: run for run in find_runs(self.root)}
                self._read_at = self._clock()
            return self._runs

    def runs(self) -> list[RunView]:
        """All runs, without the doctor, which looks at the one that is opened."""
        return [self.run_view(run, visited=False) for run in self.places().values()]

    def run_view(self, run: RunPlace, *, visited: bool = True) -> RunView:
        stages = tuple(self.stage_view(run, stage, visited=visited) for stage in run.stages)
        at = next((view for view in stages if run.current is not None and view.name == run.current.name), None)
        changed = max((view.changed for view in stages if view.changed is not None), default=None)
        return RunView(run.name, _state(stages), stages, at, changed)

    def stage_view(self, run: RunPlace, stage: StagePlace, *, visited: bool = True) -> StageView:
        log = self.log(run, stage)
        step, steps, share = _progress(stage, log)
        left = (steps - step - 1) * log.step_seconds if step is not None and steps and log.step_seconds else None
        return StageView(
            stage.name, stage.kind, stage.state(log.step_seconds), step, steps, share,
            None if stage.done else left, stage.changed, self.report(run, stage) if visited else None,
        )  # fmt: skip

    def log(self, run: RunPlace, stage: StagePlace) -> StageLog:
        kept = self._kept(run, stage)
        if stage.folder is not None:
            with kept.lock:
                kept.log.refresh(stage.folder)
        return kept.log

    def report(self, run: RunPlace, stage: StagePlace) -> Report | None:
        """The doctor's report of a stage that logs metrics."""
        log = self.log(run, stage)
        if stage.folder is None or not log.names:
            return None
        told = _told(stage.folder / GUARD_FILE)
        return self._kept(run, stage).doctor.report(stage.folder, stage.kind, log.last_step, told)

    def latest(self, run: RunPlace, stage: StagePlace) -> list[Latest]:
        """The signals of the stage's kind with their last values, also those that it does not log."""
        log = self.log(run, stage)
        charts = {chart.name: chart for chart in charts_of(stage.kind, log.names)}
        wanted = SIGNALS.get(stage.kind, ())
        names = [name for name in wanted if name in charts or wanted == FOUR_SIGNALS]
        found = []
        for name in names if log.names else ():
            value = log.last(name)
            value = value if value is not None else log.last(name, "eval")
            found.append(Latest(title_of(name), value, charts[name].unit if name in charts else ""))
        return found

    def responses(self, run: RunPlace, stage: StagePlace) -> dict[str, list[Mapping[str, Any]]]:
        """The newest responses, and those of the beginning where they are others."""
        log = self.log(run, stage)
        with self._kept(run, stage).lock:
            last, first = list(log.samples_last), list(log.samples_first)
        now = newest(last, RESPONSES_SHOWN)
        begin = [one for one in first if one["step"] == first[0]["step"]][:RESPONSES_SHOWN]
        return {"now": now, "begin": begin if now and begin[0]["step"] != now[0]["step"] else []}

    def series(self, run: RunPlace, stage: StagePlace, cursor: str) -> dict[str, Any]:
        """The points after a cursor, and the charts that they belong to."""
        log = self.log(run, stage)
        with self._kept(run, stage).lock:
            fresh, points = log.since(cursor)
            return {
                "cursor": log.cursor,
                "fresh": fresh,
                "charts": as_objects(charts_of(stage.kind, log.names)),
                "series": [series._asdict() for series in points],
            }

    def _kept(self, run: RunPlace, stage: StagePlace) -> _Stage:
        with self._lock:
            return self._stages.setdefault((run.name, stage.name), _Stage())


def _state(stages: tuple[StageView, ...]) -> State:
    states = {view.state for view in stages}
    for state in ("running", "silent", "failed"):
        if state in states:
            return state
    if states == {"done"}:
        return "done"
    return "silent" if "done" in states else "waiting"


def _progress(stage: StagePlace, log: StageLog) -> tuple[int | None, int | None, float | None]:
    """Step, steps in all, share done: by steps where the settings count them, by epochs where they count these."""
    settings = stage.read("config.json")
    step = log.last_step
    steps = settings.get("steps")
    if stage.done:
        return step, None, 1.0
    if isinstance(steps, int) and steps > 0:
        return step, steps, min(1.0, (step + 1) / steps) if step is not None else 0.0
    epochs, epoch = settings.get("epochs"), log.last("data/epoch")
    if isinstance(epochs, int | float) and epochs > 0 and epoch is not None:
        return step, None, min(1.0, epoch / epochs)
    return step, None, None


def _told(path: Path) -> dict[str, Any]:
    try:
        rows = read_json(path)
    except (OSError, ValueError):
        return {}
    return {row["id"]: row for row in rows if isinstance(row, dict) and "id" in row} if isinstance(rows, list) else {}
