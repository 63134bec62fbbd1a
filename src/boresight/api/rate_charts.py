"""Rates with their intervals on one axis, as the report draws them."""

from collections.abc import Sequence

from markupsafe import Markup

from boresight.pipeline.report_charts import IntervalGroup, IntervalRow, Mark, interval_chart
from boresight.pipeline.report_words import Rate

Row = tuple[str, float, Sequence[float], float]
"""Name, rate (0..1), ends of its interval, and what these are divided by to be between 0 and 1."""


def rate_chart(label: str, rows: Sequence[Row], *, against: float, named: str) -> Markup:
    """One row a rate; a line marks what they are held against."""
    points = [
        IntervalRow(label=name, rate=Rate(rate, ends[0] / whole, ends[1] / whole), series=1 + place % 6)
        for place, (name, rate, ends, whole) in enumerate(rows)
    ]
    told = ", ".join(f"{row.label} {100 * row.rate.value:.1f} %" for row in points)
    return interval_chart("rates", f"{label}: {told}", [IntervalGroup(rows=points)], marks=[Mark(against, named)]).wide
