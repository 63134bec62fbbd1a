"""Append-only metrics of a stage: one JSON row a step, whole or absent, byte for byte equal between equal runs."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from boresight.errors import CheckpointError, TrainingError
from boresight.runlog.names import METRICS
from boresight.storage import storage_faults

METRICS_FILE = "metrics.jsonl"
TIMINGS_FILE = "timings.jsonl"
SAMPLES_FILE = "samples.jsonl"


class MetricsWriter:
    """Writes `metrics.jsonl` in a stage's folder, and beside it `timings.jsonl` for what depends on the machine and
    `samples.jsonl` for some responses of each step.

    A resumed run calls `rewind` with the `position` that its checkpoint holds: rows logged after the checkpoint go,
    and are written again.
    """

    def __init__(self, folder: Path) -> None:
        self._files = {name: folder / name for name in (METRICS_FILE, TIMINGS_FILE, SAMPLES_FILE)}

    def append(self, step: int, metrics: Mapping[str, float], split: str = "train") -> None:
        """Write one row for each file concerned and flush it.

        Raises TrainingError for a value that is not finite, ValueError for a name that `boresight.runlog.names` does
        not list, StorageError where the disk is full; in each case nothing of the step has been written.
        """
        values = {name: _finite(step, name, metrics[name]) for name in sorted(metrics)}
        timings = {name: value for name, value in values.items() if METRICS[name].timing}
        others = {name: value for name, value in values.items() if not METRICS[name].timing}
        before = self.position()
        try:
            for file, part in ((METRICS_FILE, others), (TIMINGS_FILE, timings)):
                if part:
                    _append_line(self._files[file], {"step": step, "split": split, **part})
        except BaseException:
            self.rewind(before)
            raise

    def append_samples(self, step: int, samples: Sequence[Mapping[str, Any]]) -> None:
        """Write a line for each sample; errors as for `append`."""
        before = self.position()
        try:
            for sample in samples:
                _append_line(self._files[SAMPLES_FILE], {"step": step, **sample})
        except BaseException:
            self.rewind(before)
            raise

    def position(self) -> dict[str, int]:
        """Length of each file in bytes, for the checkpoint."""
        return {name: path.stat().st_size if path.exists() else 0 for name, path in self._files.items()}

    def rewind(self, position: Mapping[str, int]) -> None:
        """Cut each file back to a length from `position()`; a file that is not named becomes empty.

        Raises CheckpointError where a file is shorter than that: rows that the checkpoint counts on are gone.
        """
        lengths = self.position()
        for name, length in lengths.items():
            if length < position.get(name, 0):
                raise CheckpointError(
                    f"{self._files[name]}: {length} bytes, but the checkpoint was saved when it had {position[name]}. "
                    "Rows have been lost; restore the file, or remove the stage's folder to start the stage anew."
                )
        for name, length in lengths.items():
            if length > position.get(name, 0):
                os.truncate(self._files[name], position.get(name, 0))


def _finite(step: int, name: str, value: float) -> float:
    if name not in METRICS:
        raise ValueError(f"{name}: not in boresight.runlog.names.METRICS; add it there, with meaning and unit")
    number = float(value)
    if not math.isfinite(number):
        raise TrainingError(
            f"step {step}: {name} is {number}; expected a finite number. Nothing of this step was logged, and the last "
            "checkpoint is from before it. Look at the step's batch, or lower the learning rate, and run again."
        )
    return number


def _append_line(path: Path, row: Mapping[str, object]) -> None:
    # json writes floats with repr: the shortest text that reads back to the same number.
    line = json.dumps(row, allow_nan=False) + "\n"
    with storage_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            stream.write(line.encode("ascii"))
