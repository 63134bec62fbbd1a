"""Whether a signal rose, fell or stood still, and how sure that is."""

import numpy as np

from boresight.diagnosis.signals import Series
from boresight.stats.trends import change_point, deviation, trend

SURE = 2.58
"""|z| of a trend that chance gives in 1 of 100."""

LIKELY = 1.65
"""|z| of a trend that chance gives in 1 of 10, either way."""

ENOUGH_FOR_FLAT = 40
"""Rows below which a noisy signal that does not move is no evidence of anything."""


def rose(series: Series | None, sure: float = SURE) -> bool:
    """It rises beyond chance, and over the whole by more than its own noise or a fifth of its level."""
    if series is None or len(series) < 5:
        return False
    found = trend(series.values)
    gain = max(found.change, series.late - series.early)
    return found.z > sure and gain > min(found.noise, 0.2 * abs(series.early) + 1e-12)


def fell(series: Series | None, sure: float = SURE) -> bool:
    """The mirror of `rose`."""
    return series is not None and rose(Series(series.name, series.steps, -series.values, series.source), sure)


def moved(series: Series | None) -> float:
    """From the first fifth to the last; between the ends where there are fewer than ten points."""
    if series is None:
        return 0.0
    found = series.evidence()
    return found.end - found.start


def jumps_up(series: Series | None) -> float | None:
    """The step at which a signal jumps to a higher level, by more than 4 deviations of either level; None if it does
    not. What rises evenly has no such step: its levels spread as far as they are apart."""
    cut = change_point(series.values) if series is not None and len(series) >= 12 else None
    if series is None or cut is None:
        return None
    within = max(deviation(series.values[: cut.place]), deviation(series.values[cut.place :]))
    return float(series.steps[cut.place]) if cut.after - cut.before > 4 * within + 1e-12 else None


def stands_still(series: Series) -> bool:
    """There were rows enough to see a gain, and none is there.

    A gain of the second half's mean over the first's is ruled out (one side, 95 %) above 0.35 deviations; or the
    series is constant to a thousandth of its level.
    """
    x = series.values
    if len(x) < 3:
        return False
    level = float(np.median(np.abs(x)))
    if deviation(x) <= 1e-3 * level + 1e-9 and np.ptp(np.quantile(x, [0.05, 0.95])) <= 0.05 * level + 1e-9:
        return True
    if len(x) < ENOUGH_FOR_FLAT:
        return False
    half = len(x) // 2
    first, second = x[:half], x[half:]
    error = float(np.sqrt(first.var() / len(first) + second.var() / len(second)))
    gain = float(second.mean() - first.mean())
    return gain + 1.65 * error < 0.35 * max(float(x.std()), 1e-12)


def steady_level(series: Series, tolerance: float = 0.15) -> bool:
    """All values, few as they may be, lie within so much of their median."""
    middle = abs(series.median)
    return len(series) >= 4 and middle > 0 and float(np.abs(series.values - series.median).max()) <= tolerance * middle
