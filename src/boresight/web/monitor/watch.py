"""All that the pages show, read from the disk when it is asked for and kept between two questions."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from boresight.storage import read_json
from boresight.web.monitor.charts import FOUR_SIGNALS, SIGNALS, charts_of, title_of
from boresight.web.monitor.doctor import Doctor, Report
from boresight.web.monitor.run_folders import RunPlace, StagePlace, State, find_runs
from boresight.web.monitor.stage_log import StageLog

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


class Responses(NamedTuple):
    """The newest responses, and those of the beginning where they are others."""

    now: list[Mapping[str, Any]]
    begin: list[Mapping[str, Any]]


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
        """The runs of the folder by name, looked for anew when the last look is SECONDS_KEPT old."""
        with self._lock:
            if self._clock() - self._read_at >= SECONDS_KEPT:
                self._runs = {run.name: run for run in find_runs(self.root)}
                self._read_at = self._clock()
            return self._runs

    def runs(self) -> list[RunView]:
        """All runs, without a look at what is finished: the doctor and its log wait until it is opened."""
        return [self.run_view(run, closely=False) for run in self.places().values()]

    def run_view(self, run: RunPlace, *, closely: bool = True) -> RunView:
        """A run with its stages; `closely` reads the logs of finished ones too."""
        stages = tuple(self.stage_view(run, stage, closely=closely) for stage in run.stages)
        at = next((view for view in stages if run.current is not None and view.name == run.current.name), None)
        changed = max((view.changed for view in stages if view.changed is not None), default=None)
        return RunView(run.name, _state(stages), stages, at, changed)

    def stage_view(self, run: RunPlace, stage: StagePlace, *, closely: bool = True) -> StageView:
        """Progress, pace and time left (seconds) of a stage, and its findings where it is looked at `closely`."""
        if stage.done and not closely:
            return StageView(stage.name, stage.kind, stage.state(), None, None, None, None, stage.changed, None)
        with self.reading(run, stage) as log:
            step, steps, share = _progress(stage, log)
            pace = log.step_seconds
        left = (steps - step - 1) * pace if step is not None and steps and pace else None
        report = self.report(run, stage) if closely else None
        return StageView(stage.name, stage.kind, stage.state(pace), step, steps, share, left, stage.changed, report)

    @contextmanager
    def reading(self, run: RunPlace, stage: StagePlace) -> Iterator[StageLog]:
        """The log of a stage as it stands now; nobody else reads on while it is looked at."""
        kept = self._kept(run, stage)
        with kept.lock:
            if stage.folder is not None:
                kept.log.refresh(stage.folder)
            yield kept.log

    def report(self, run: RunPlace, stage: StagePlace) -> Report | None:
        """The doctor's report of a stage that logs metrics."""
        with self.reading(run, stage) as log:
            step, logged = log.last_step, bool(log.names)
        if stage.folder is None or not logged:
            return None
        told = _told(stage.folder / GUARD_FILE)
        return self._kept(run, stage).doctor.report(stage.folder, stage.kind, step, told)

    def latest(self, run: RunPlace, stage: StagePlace) -> list[Latest]:
        """The signals of the stage's kind with their last values, of the four also those that it does not log."""
        with self.reading(run, stage) as log:
            charts = {chart.name: chart for chart in charts_of(stage.kind, log.names)}
            values = {name: log.last(name) for name in charts}
            values |= {name: log.last(name, "eval") for name, value in values.items() if value is None}
        wanted = SIGNALS.get(stage.kind, ()) if charts else ()
        names = wanted if wanted == FOUR_SIGNALS else [name for name in wanted if name in charts]
        return [Latest(title_of(name), values.get(name), charts[name].unit if name in charts else "") for name in names]

    def responses(self, run: RunPlace, stage: StagePlace) -> Responses:
        """Those of the last step that has some, and beside them those of the first."""
        with self.reading(run, stage) as log:
            last, first = list(log.samples_last), list(log.samples_first)
        now = [one for one in last if one["step"] == last[-1]["step"]][:RESPONSES_SHOWN]
        begin = [one for one in first if one["step"] == first[0]["step"]][:RESPONSES_SHOWN]
        return Responses(now, begin if now and begin[0]["step"] != now[0]["step"] else [])

    def series(self, run: RunPlace, stage: StagePlace, cursor: str) -> dict[str, Any]:
        """The points after a cursor, and the charts that they belong to."""
        with self.reading(run, stage) as log:
            fresh, points = log.since(cursor)
            return {
                "cursor": log.cursor,
                "fresh": fresh,
                "charts": [chart._asdict() for chart in charts_of(stage.kind, log.names)],
                "series": [series._asdict() for series in points],
            }

    def unreadable(self, run: RunPlace, stage: StagePlace) -> int:
        """Lines of the stage's log that are no rows."""
        with self.reading(run, stage) as log:
            return log.unreadable

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
