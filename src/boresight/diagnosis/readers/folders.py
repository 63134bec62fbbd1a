"""What a path is: one of our runs, one of its stages, the folder of another framework, or a log file."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from boresight.diagnosis.readers.align import align
from boresight.diagnosis.readers.files import read_raw
from boresight.diagnosis.readers.samples import read_samples
from boresight.diagnosis.signals import LoggedRun
from boresight.errors import DataError
from boresight.runlog.writer import METRICS_FILE, SAMPLES_FILE

FOREIGN_LOGS = (
    "trainer_state.json", "trainer_log.jsonl", "logging.jsonl", METRICS_FILE, "log.jsonl", "train.jsonl", "log.json",
    "log.txt", "train.log", "training.log", "log.csv", "progress.csv",
)  # fmt: skip
"""File names that trainers write, the fullest first: LLaMA-Factory's trainer_log.jsonl drops most of what its
trainer_state.json has."""

METHODS = {"reward_model": "rm"}
"""Kinds of stages by the name of their method, where the two differ."""


class Log(NamedTuple):
    """One log that was found and read; `name` is what to call it."""

    name: str
    file: Path
    run: LoggedRun


def read_logs(path: Path) -> list[Log]:
    """All logs of a path: one for a file, one for each stage of a run that has metrics.

    Raises DataError for what is absent, empty or holds no metrics.
    """
    if not path.is_dir():
        return [Log(str(path), path, align(read_raw(path)))]
    if (path / "run.json").is_file():
        logs = [read_stage(folder) for folder in _stages(path)]
        if not logs:
            raise DataError(f"{path}: none of its stages has logged metrics yet. Wait for its first steps.")
        return logs
    if (path / METRICS_FILE).is_file() and (path / "config.json").is_file():
        return [read_stage(path)]
    file = _foreign(path)
    return [Log(str(file), file, align(read_raw(file)))]


def _stages(run: Path) -> Iterator[Path]:
    for folder in sorted((run / "stages").glob("*")):
        metrics = folder / METRICS_FILE
        if metrics.is_file() and metrics.stat().st_size:
            yield folder


def read_stage(folder: Path, kind: str = "") -> Log:
    """A stage of ours with the responses that it keeps; it says itself of which kind it is, where that is not given."""
    kind = kind or _kind(folder)
    raw = read_raw(folder / METRICS_FILE)
    run = align(raw, framework="boresight", method=METHODS.get(kind, kind))
    samples, remarks = read_samples(folder / SAMPLES_FILE)
    run = replace(run, samples=samples, remarks=(*run.remarks, *remarks))
    return Log(str(folder), folder / METRICS_FILE, run)


def _kind(folder: Path) -> str:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""  # a stage that was killed before it wrote its config still has metrics that tell the method
    return str(config.get("kind", "")) if isinstance(config, dict) else ""


def _foreign(folder: Path) -> Path:
    """The fullest log of a folder; of several checkpoints the newest."""
    for name in FOREIGN_LOGS:
        if (folder / name).is_file():
            return folder / name
    states = sorted(folder.glob("checkpoint-*/trainer_state.json"), key=_checkpoint)
    events = sorted(folder.glob("*tfevents*"))
    if states or events:
        return states[-1] if states else events[-1]
    raise DataError(
        f"{folder}: no log in this folder; looked for run.json, {', '.join(FOREIGN_LOGS[:4])}, "
        "checkpoint-*/trainer_state.json and event files. Name the log file itself."
    )


def _checkpoint(state: Path) -> int:
    number = state.parent.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1
