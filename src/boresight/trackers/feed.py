"""Trackers beside a stage that trains: they follow its own log, which stays the truth.

What a tracker has stored is asked of the tracker, or read from the notes that were taken before each row was sent; only
what comes after that is sent, and what a kill kept from it is sent from the log. So a stage that is resumed goes on in
the same run of the tracker, without a step twice. A tracker that fails is told of once and left alone from there on.
"""

import importlib
import importlib.util
import json
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from boresight.config.section_bases import TRACKERS, TrackerName
from boresight.errors import ConfigError, DataError
from boresight.runlog.reader import read_metrics
from boresight.storage import read_json, write_json
from boresight.trackers.tracker import RunCard, Tracker, tracked_names

STATE_FILE = "trackers.json"
"""In the folder of a stage under way: the id of its runs in trackers."""
NOTES_FILE = "trackers.jsonl"
"""Beside it: the rows that were sent."""


class Place(NamedTuple):
    """Where a tracker is made, and the package that it needs."""

    module: str
    name: str
    package: str


PLACES: dict[TrackerName, Place] = {
    "tensorboard": Place("boresight.trackers.tensorboard_files", "TensorBoardFiles", "tensorboard"),
    "wandb": Place("boresight.trackers.wandb_runs", "WandbRuns", "wandb"),
    "mlflow": Place("boresight.trackers.mlflow_runs", "MlflowRuns", "mlflow"),
    "trackio": Place("boresight.trackers.trackio_runs", "TrackioRuns", "trackio"),
}
assert set(PLACES) == set(TRACKERS)


def missing(names: Sequence[TrackerName]) -> list[str]:
    """A line for each tracker whose package is not installed, with the extra that holds it."""
    return [
        f"run.report_to: {name}: the package {PLACES[name].package} is not installed. Install it "
        f"(pip install 'boresight[track-{name}]'), or take the name out."
        for name in names
        if importlib.util.find_spec(PLACES[name].package) is None
    ]


def refuse_missing(names: Sequence[TrackerName]) -> None:
    """ConfigError for these."""
    if faults := missing(names):
        raise ConfigError(faults)


def make_tracker(name: TrackerName) -> Tracker:
    place = PLACES[name]
    tracker: Tracker = getattr(importlib.import_module(place.module), place.name)()
    return tracker


class Feed:
    """Rows of one stage for all trackers; without any of them it does nothing.

    `card` is made when the first row is near: a stage that never trains has no run in a tracker.
    """

    def __init__(
        self,
        names: Sequence[TrackerName] = (),
        card: Callable[[str], RunCard] | None = None,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
        make: Callable[[TrackerName], Tracker] = make_tracker,
    ) -> None:
        self._names, self._make_card, self._say, self._make = tuple(dict.fromkeys(names)), card, say, make
        self._trackers: dict[TrackerName, Tracker] = {}
        self._known: dict[TrackerName, dict[str, int]] = {}

    def begin(self, folder: Path) -> None:
        """Open the trackers and send what the stage's log in `folder` holds and they lack."""
        if not self._names or self._make_card is None or self._trackers:
            return
        self._notes = folder / NOTES_FILE
        self._card = self._make_card(_run_id(folder))
        noted = _noted(self._notes)
        for name in self._names:
            with self._surviving(name):
                tracker = self._make(name)
                tracker.open(self._card)
                self._trackers[name] = tracker
                stored = tracker.last_steps()
                self._known[name] = noted.get(name, {}) if stored is None else stored
        for step, split, values in _logged(folder):
            self.follow(step, split, values)

    def follow(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Send a row that the log has taken, to the trackers that lack it."""
        for name, tracker in list(self._trackers.items()):
            known = self._known[name]
            if step <= known.get(split, -1):
                continue
            known[split] = step
            with self._surviving(name):
                _note(self._notes, name, step, split)
                tracker.log(step, tracked_names(self._card.kind, split, values, tracker.prefix))

    def close(self, *, finished: bool) -> None:
        for name, tracker in list(self._trackers.items()):
            with self._surviving(name):
                tracker.close(finished=finished)
        self._trackers.clear()

    @contextmanager
    def _surviving(self, name: TrackerName) -> Iterator[None]:
        """Whatever a tracker raises, the run goes on without it."""
        try:
            yield
        except Exception as error:  # any: an account, a server or a disk of others is no reason to lose a run
            self._trackers.pop(name, None)
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            kind = type(error).__name__
            self._say(f"warning: {name}: {reason} ({kind}). The run goes on without it; metrics.jsonl has all.")


NO_TRACKERS = Feed()


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings as trackers take them: dotted names, and text for what is neither number nor truth value."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        elif value is not None:
            found[f"{before}{name}"] = value if isinstance(value, bool | int | float | str) else json.dumps(value)
    return found


def _run_id(folder: Path) -> str:
    """Drawn once for a stage that is begun, and kept with it until it is done."""
    path = folder / STATE_FILE
    if not path.exists():
        write_json(path, {"id": uuid.uuid4().hex[:16]})
    return str(read_json(path)["id"])


def _logged(folder: Path) -> Iterator[tuple[int, str, dict[str, float]]]:
    try:
        table = read_metrics(folder)
    except DataError:  # there is no row yet
        return
    for row, (step, split) in enumerate(zip(table.steps, table.splits, strict=True)):
        yield step, split, {name: value for name in table.names if (value := table.columns[name][row]) is not None}


def _note(path: Path, name: str, step: int, split: str) -> None:
    with path.open("a", encoding="ascii") as stream:
        stream.write(json.dumps([name, split, step]) + "\n")


def _noted(path: Path) -> dict[str, dict[str, int]]:
    """The last noted step of each tracker and split; a line that a kill or a full disk cut off is passed over."""
    found: dict[str, dict[str, int]] = {}
    lines = path.read_text(encoding="ascii", errors="replace").split("\n")[:-1] if path.exists() else []
    for line in lines:
        try:
            name, split, step = json.loads(line)
        except ValueError:  # cut off, with the next note behind it
            continue
        found.setdefault(name, {})[split] = step
    return found
