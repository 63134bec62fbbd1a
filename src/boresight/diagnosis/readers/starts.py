"""Steps of a log, and its restarts: a resumed run is one run, a run begun anew is another.

A step that goes back to where training begins is a new start; one that goes back to a later place is a resume from a
checkpoint, whose rows replace those of the same steps before. Where the epoch has risen, the step only counts anew
within the epoch.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from boresight.diagnosis.readers.columns import RawLog
from boresight.diagnosis.readers.names import STEP_NAMES, TOTAL_NAMES, tidy
from boresight.diagnosis.signals import Numbers


class Timeline(NamedTuple):
    """The step of each row, and which rows belong to the run that is diagnosed."""

    steps: Numbers
    kept: NDArray[np.bool_]
    starts: int
    other_rows: int
    """Rows of starts that are not diagnosed."""
    replaced: int
    """Rows that a resume wrote again."""
    numbered: bool
    """The log has steps; otherwise rows are counted."""
    total: float | None
    """Planned steps, where the log tells."""


def timeline(raw: RawLog) -> Timeline:
    """Steps of all rows; the longest start is kept, the last of equally long ones."""
    steps = _filled(raw, *STEP_NAMES)
    if steps is None:
        everything = np.ones(raw.rows, dtype=bool)
        return Timeline(np.arange(raw.rows, dtype=np.float64), everything, 1, 0, 0, False, None)
    steps = _over_epochs(steps, _filled(raw, "epoch", "data/epoch"))
    bounds = _starts(steps)
    lengths = [len(np.unique(steps[a:b])) for a, b in bounds]
    best = max(range(len(bounds)), key=lambda place: (lengths[place], place))
    a, b = bounds[best]
    kept = np.zeros(raw.rows, dtype=bool)
    kept[a:b] = _last_attempt(steps[a:b])
    totals = [column for name, column in raw.columns.items() if tidy(name) in TOTAL_NAMES]
    total = float(np.max(totals[0].values)) if totals else None
    replaced = int(b - a - kept.sum())
    return Timeline(steps, kept, len(bounds), raw.rows - (b - a), replaced, True, total)


def _filled(raw: RawLog, *names: str) -> Numbers | None:
    """A column for all rows, each gap filled with the value before; the best-filled of the names, at least half."""
    found = {tidy(name): column for name, column in reversed(raw.columns.items())}
    candidates = [found[name] for name in names if name in found and len(found[name].rows) * 2 >= raw.rows]
    if not candidates:
        return None
    column = candidates[0]
    finite = np.isfinite(column.values)
    rows, values = column.rows[finite].astype(int), column.values[finite]
    if not len(rows):
        return None
    place = np.searchsorted(rows, np.arange(raw.rows), side="right") - 1
    return np.asarray(values[np.maximum(place, 0)], dtype=np.float64)


def _over_epochs(steps: Numbers, epochs: Numbers | None) -> Numbers:
    """Steps that begin again with each epoch, counted through."""
    if epochs is None:
        return steps
    back = np.flatnonzero((np.diff(steps) < 0) & (np.diff(np.floor(epochs)) > 0)) + 1
    if not len(back) or (np.diff(steps) < 0).sum() > len(back):
        return steps
    through = steps.copy()
    for place in back:
        through[place:] += steps[place - 1]
    return through


def _starts(steps: Numbers) -> list[tuple[int, int]]:
    """Bounds of the runs: each time the step goes back to the first step, or before it."""
    back = np.flatnonzero(np.diff(steps) < 0) + 1
    cuts = [0]
    for place in back:
        first = steps[cuts[-1]]
        near = first + 0.02 * (steps[cuts[-1] : place].max() - first)
        if steps[place] <= near:
            cuts.append(int(place))
    # The same first step logged twice over, with nothing after it, is a start that was given up.
    return list(zip(cuts, [*cuts[1:], len(steps)], strict=True))


def _last_attempt(steps: Numbers) -> NDArray[np.bool_]:
    """Rows before the step of every later resume: what a resume wrote again counts once."""
    resumed_at = np.full(len(steps) + 1, np.inf)
    back = np.flatnonzero(np.diff(steps) < 0) + 1
    resumed_at[back] = steps[back]
    return np.asarray(steps < np.minimum.accumulate(resumed_at[::-1])[::-1][1:])
