"""TensorBoard event files, read by tensorboard where it is installed."""

from pathlib import Path

from boresight.diagnosis.readers.columns import RawLog, gather
from boresight.errors import DataError


def is_event_file(path: Path) -> bool:
    """Whether it is one of TensorBoard's event files, by its name."""
    return path.is_file() and "tfevents" in path.name


def read_events(path: Path) -> RawLog:
    """The scalars of an event file, one row a step. Raises DataError where tensorboard is not installed."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        raise DataError(
            f"{path}: an event file of TensorBoard, which the package tensorboard reads; it is not installed. "
            "Run `pip install tensorboard`, or give the CSV or JSON that TensorBoard's page exports."
        ) from None
    events = EventAccumulator(str(path), size_guidance={"scalars": 0})
    events.Reload()
    rows: dict[int, dict[str, float]] = {}
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            rows.setdefault(event.step, {"step": event.step})[tag] = event.value
    if not rows:
        raise DataError(
            f"{path}: this event file holds no scalars; expected the metrics of a run."
            " Give the folder that training wrote to."
        )
    return gather([rows[step] for step in sorted(rows)])
