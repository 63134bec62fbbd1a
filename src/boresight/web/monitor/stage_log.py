"""What one stage has logged so far, kept as columns and read on line by line."""

import json
import math
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from boresight.runlog.writer import METRICS_FILE, SAMPLES_FILE, TIMINGS_FILE
from boresight.web.monitor.tail import Tail

MOST_POINTS = 2000
"""Points of one series that a page is given at first; of longer ones the lowest and the highest of each stretch."""

WHOLE_STAGE = "stage"
"""The split of what is logged once, about the stage as a whole."""

FIRST_KEPT, LAST_KEPT = 16, 256
"""Responses kept in memory: those of the beginning, and the newest."""


class Points(NamedTuple):
    """One metric of one split, in the order logged; as many steps as values."""

    name: str
    split: str
    steps: list[float]
    values: list[float]


@dataclass(slots=True)
class _Column:
    rows: "array[int]" = field(default_factory=lambda: array("q"))
    """Number of the row of the log that each point stands in."""
    steps: "array[float]" = field(default_factory=lambda: array("d"))
    values: "array[float]" = field(default_factory=lambda: array("d"))


class StageLog:
    """The metrics and responses of a stage. `refresh` reads what is new; after a restart everything is read again, and
    `generation` says so to those who hold a cursor."""

    def __init__(self) -> None:
        self.generation = 0
        self.unreadable = 0
        """Lines that are no rows and were passed over."""
        self.samples_first: list[Mapping[str, Any]] = []
        self.samples_last: deque[Mapping[str, Any]] = deque(maxlen=LAST_KEPT)
        self._metrics = {METRICS_FILE: Tail(), TIMINGS_FILE: Tail()}
        self._samples = Tail()
        self._columns: dict[tuple[str, str], _Column] = {}
        self._rows = 0

    def refresh(self, folder: Path) -> None:
        """Read what was written into the stage's folder since the last time."""
        if any([tail.restarted(folder / name) for name, tail in self._metrics.items()]):
            self._metrics = {name: Tail() for name in self._metrics}
            self._columns, self._rows, self.unreadable = {}, 0, 0
            self.generation += 1
        for name, tail in self._metrics.items():
            for line in tail.lines(folder / name):
                self._add_row(line)
        if self._samples.restarted(folder / SAMPLES_FILE):
            self.samples_first, self.samples_last = [], deque(maxlen=LAST_KEPT)
        for line in self._samples.lines(folder / SAMPLES_FILE):
            self._add_sample(line)

    @property
    def cursor(self) -> str:
        """Where the log stands: a page that brings it back is given only what came after."""
        return f"{self.generation}-{self._rows}"

    @property
    def names(self) -> list[str]:
        """Metrics logged by step."""
        return list(dict.fromkeys(name for name, split in self._columns if split != WHOLE_STAGE))

    def last(self, name: str, split: str = "train") -> float | None:
        """The newest value of a metric; None before the first."""
        column = self._columns.get((name, split))
        return column.values[-1] if column else None

    @property
    def last_step(self) -> int | None:
        """The highest step logged while training; None before the first."""
        steps = [column.steps[-1] for (_, split), column in self._columns.items() if split == "train"]
        return int(max(steps)) if steps else None

    @property
    def step_seconds(self) -> float | None:
        """Median wall time of the last steps."""
        column = self._columns.get(("time/step_seconds", "train"))
        return median(column.values[-50:]) if column else None

    def since(self, cursor: str) -> tuple[bool, list[Points]]:
        """The points after a cursor; all of them (True), thinned where they are many, for a cursor of another time."""
        generation, _, rows = cursor.partition("-")
        known = generation == str(self.generation) and rows.isdecimal() and int(rows) <= self._rows
        found = []
        for (name, split), column in self._columns.items():
            if split == WHOLE_STAGE:
                continue
            begin = bisect_left(column.rows, int(rows)) if known else 0
            steps, values = column.steps[begin:].tolist(), column.values[begin:].tolist()
            if not known:
                steps, values = thinned(steps, values, MOST_POINTS)
            if steps:
                found.append(Points(name, split, steps, values))
        return not known, found

    def _add_row(self, line: bytes) -> None:
        row = _object(line)
        step = row.pop("step", None) if row is not None else None
        if row is None or step is None or not _is_number(step):
            self.unreadable += bool(line.strip())
            return
        split = str(row.pop("split", "train"))
        for name, value in row.items():
            if _is_number(value):
                column = self._columns.setdefault((name, split), _Column())
                column.rows.append(self._rows)
                column.steps.append(step)
                column.values.append(value)
        self._rows += 1

    def _add_sample(self, line: bytes) -> None:
        row = _object(line)
        if row is None or not _is_number(row.get("step")) or not isinstance(row.get("response"), str):
            self.unreadable += bool(line.strip())
            return
        if len(self.samples_first) < FIRST_KEPT:
            self.samples_first.append(row)
        self.samples_last.append(row)


def thinned(steps: list[float], values: list[float], most: int) -> tuple[list[float], list[float]]:
    """At most `most` points, which keep every peak: of each stretch its lowest and its highest."""
    if len(values) <= most:
        return steps, values
    kept: list[int] = []
    stretches = most // 2
    for number in range(stretches):
        stretch = range(len(values) * number // stretches, len(values) * (number + 1) // stretches)
        kept += sorted({min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)})
    return [steps[place] for place in kept], [values[place] for place in kept]


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _is_number(value: object) -> bool:
    """A finite number; a number too large for a float is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
