"""Metrics of a stage read back as columns, and two runs held side by side."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from boresight.errors import DataError
from boresight.runlog.writer import METRICS_FILE, TIMINGS_FILE


class Point(NamedTuple):
    step: int
    value: float


class PointPair(NamedTuple):
    """One metric at a step that both runs have."""

    step: int
    first: float
    second: float


class Difference(NamedTuple):
    """How far two runs are apart in one metric; `largest` is the greatest |first - second|, at `largest_step`."""

    name: str
    split: str
    shared_steps: int
    first_step: int | None
    """First step at which the two differ at all; None where they are equal."""
    largest: float
    largest_step: int


@dataclass(frozen=True)
class MetricTable:
    """One row for each step and split, in the order logged; a metric that a row lacks is None."""

    steps: list[int]
    splits: list[str]
    columns: dict[str, list[float | None]]

    @property
    def names(self) -> list[str]:
        return list(self.columns)

    def series(self, name: str, split: str = "train") -> list[Point]:
        """The values of one metric by step; empty where the run has none."""
        column = self.columns.get(name, [None] * len(self.steps))
        return [
            Point(step, value)
            for step, row_split, value in zip(self.steps, self.splits, column, strict=True)
            if row_split == split and value is not None
        ]

    def last(self, name: str, split: str = "train") -> float | None:
        """The final value of a metric, if there is any."""
        points = self.series(name, split)
        return points[-1].value if points else None


def read_metrics(path: Path) -> MetricTable:
    """Read a metrics file, or the metrics and timings of a stage's folder as one table.

    A last line without an end is one that a kill cut off, and is passed over. Raises DataError for any other line that
    is not a row, for a metric logged twice in one step and split, and where there is no file at all.
    """
    files = [path / METRICS_FILE, path / TIMINGS_FILE] if path.is_dir() else [path]
    if not any(file.exists() for file in files):
        raise DataError(
            f"{files[0]}: no such file; expected the metrics of a stage (runs/NAME/stages/STAGE)"
            ". Give a stage's folder, or run the pipeline first."
        )
    rows: dict[tuple[int, str], dict[str, float]] = {}
    for file in files:
        if file.exists():
            _read_rows(file, rows)
    names = dict.fromkeys(name for row in rows.values() for name in row)
    columns = {name: [row.get(name) for row in rows.values()] for name in names}
    return MetricTable([step for step, _ in rows], [split for _, split in rows], columns)


def _read_rows(file: Path, rows: dict[tuple[int, str], dict[str, float]]) -> None:
    # What follows the last line's end is empty, or the part of a line that a kill left.
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    for number, line in enumerate(lines, start=1):
        where = f"{file}:{number}"
        row = _parse(line, where)
        key = (row.pop("step"), row.pop("split"))
        for name, value in row.items():
            if name in rows.setdefault(key, {}):
                raise DataError(
                    f"{where}: {name} of step {key[0]} ({key[1]}) stands in this log before; expected it once. "
                    "Two runs have written to one folder: remove one of them."
                )
            rows[key][name] = value


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where}: not JSON ({error.msg}, column {error.colno}); expected one row of metrics"
            ". Take the line out, or run the stage again."
        ) from None
    if not isinstance(row, dict) or type(row.get("step")) is not int or not isinstance(row.get("split"), str):
        raise DataError(
            f'{where}: found {line[:60]}; expected an object with "step" (a whole number) and "split" (text)'
            ". Take the line out, or run the stage again."
        )
    for name, value in row.items():
        if name not in ("step", "split") and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise DataError(
                f"{where}: {name} is {json.dumps(value)[:60]}; expected a number"
                ". Take the line out, or run the stage again."
            )
    return row


def align(first: MetricTable, second: MetricTable, name: str, split: str = "train") -> list[PointPair]:
    """One metric at the steps that both runs have."""
    others = dict(second.series(name, split))
    return [PointPair(step, value, others[step]) for step, value in first.series(name, split) if step in others]


def compare(first: MetricTable, second: MetricTable) -> list[Difference]:
    """The difference of two runs in every metric and split that they share, in the order of the first."""
    differences = []
    for name in first.names:
        for split in dict.fromkeys(first.splits):
            pairs = align(first, second, name, split)
            if not pairs:
                continue
            largest = max(pairs, key=lambda pair: abs(pair.first - pair.second))
            unequal = (pair.step for pair in pairs if pair.first != pair.second)
            gap = abs(largest.first - largest.second)
            differences.append(Difference(name, split, len(pairs), next(unequal, None), gap, largest.step))
    return differences


def by_split(table: MetricTable, name: str) -> Mapping[str, list[Point]]:
    """A metric's series for each split that has it."""
    found = {split: table.series(name, split) for split in dict.fromkeys(table.splits)}
    return {split: points for split, points in found.items() if points}
