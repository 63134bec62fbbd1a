"""What every tracker is to the rest: a run that is begun or gone on with, rows of numbers, and an end."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from boresight.runlog.aliases import aliased
from boresight.runlog.names import METRICS

PROJECT = "boresight"
TRAIN = "train"


class RunCard(NamedTuple):
    """What a tracker is told of a stage before its first row."""

    id: str
    """The same when the stage is resumed, and another when it is built anew."""
    run: str
    stage: str
    kind: str
    settings: Mapping[str, Any]
    """Config and lineage, flat: dotted name -> number, text or truth value."""
    folder: Path
    """Where a tracker that keeps files may put them, shared by all stages of the run."""

    @property
    def name(self) -> str:
        return f"{self.run}/{self.stage}"


class Tracker(Protocol):
    """Any method may fail in any way: `boresight.trackers.feed` sees to it that no run ends by it."""

    prefix: str
    """What stands before TRL's names, as transformers puts it for this tracker."""

    def open(self, card: RunCard) -> None:
        """Begin the run of a card, or go on with the one that has its id."""
        ...

    def last_steps(self) -> dict[str, int] | None:
        """The last step that is stored, by split; None where the tracker cannot be asked."""
        ...

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Store a row of numbers, by the names that they are to have there."""
        ...

    def close(self, *, finished: bool) -> None:
        """Write what is left; `finished` where the stage came to its end, otherwise it stopped on the way."""
        ...


def tracked_names(kind: str, split: str, values: Mapping[str, float], prefix: str) -> dict[str, float]:
    """A row as a tracker gets it: our names (of another split than training behind its name) and TRL's."""
    if split != TRAIN:
        return {f"{split}/{name}": value for name, value in values.items()}
    return {**values, **{f"{prefix}{name}": value for name, value in aliased(kind, values).items()}}


def last_of(points: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The last step of each split among stored (name, step), by our own names; TRL's are passed over."""
    last: dict[str, int] = {}
    for name, step in points:
        split, _, own = name.partition("/")
        split = TRAIN if name in METRICS else split if own in METRICS else ""
        if split:
            last[split] = max(step, last.get(split, step))
    return last
