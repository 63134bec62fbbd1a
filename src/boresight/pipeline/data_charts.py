"""The two charts of a data page: how long the answers are, and whether the longer one wins."""

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from boresight.data.lint.profile import GAP_BOUNDS, LENGTH_BOUNDS, Profile
from boresight.pipeline.report_charts import (
    GRID,
    MUTED,
    Chart,
    IntervalGroup,
    IntervalRow,
    Mark,
    blank_figure,
    draw_twice,
    interval_chart,
    pixel_axes,
    series_colour,
)
from boresight.pipeline.report_words import Rate
from boresight.stats.intervals import wilson

CHOSEN, REJECTED = 1, 2
"""Colours of both sides on the whole page."""
HEIGHT = 240


def length_chart(profile: Profile) -> Chart:
    """Share of the chosen and of the rejected answers by words, in bins that double."""
    sides = [(CHOSEN, profile.chosen_words), (REJECTED, profile.rejected_words)]
    sides = [(series, counts) for series, counts in sides if counts]
    label = "Share of answers by length in words, " + " and ".join(
        f"{'chosen' if series == CHOSEN else 'rejected'} ones" for series, _ in sides
    )

    def draw(width: int) -> Figure:
        figure = blank_figure(width, HEIGHT)
        axes = pixel_axes(figure, 44, 10, width - 54, HEIGHT - 60)
        bar = 0.8 / len(sides)
        last = max(max(counts) for _, counts in sides)
        for index, (series, counts) in enumerate(sides):
            heights = [counts[i] / counts.total() for i in range(last + 1)]
            left = [i - 0.4 + index * bar for i in range(last + 1)]
            axes.bar(left, heights, width=bar * 0.94, align="edge", color=series_colour(series), lw=0)
        axes.set_xticks(range(last + 1), _length_names(last, width), fontsize=12)
        axes.set_xlabel("words", fontsize=12)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, labelcolor=MUTED)
        axes.spines["left"].set_visible(False)
        return figure

    return draw_twice("lengths", label, draw)


def gap_chart(profile: Profile) -> Chart:
    """How often the longer answer is the chosen one, by how much longer it is."""
    rows = []
    for place in range(len(GAP_BOUNDS)):
        if untied := profile.gap_untied[place]:
            interval = wilson(profile.gap_longer[place], untied)
            rate = Rate(interval.value, interval.low, interval.high, untied)
            rows.append(IntervalRow(label=_gap_name(place), rate=rate, series=CHOSEN))
    label = "Share of pairs whose longer answer is the chosen one, by how many times longer it is"
    return interval_chart("gaps", label, [IntervalGroup(rows=rows)], marks=[Mark(0.5, "chance")])


def _length_names(last: int, width: int) -> list[str]:
    """The first number of words of each bin; on a phone every other one."""
    names = ["0", *(str(bound) for bound in LENGTH_BOUNDS)][: last + 1]
    return [name if width >= 600 or i % 2 == 0 else "" for i, name in enumerate(names)]


def _gap_name(place: int) -> str:
    low = f"{GAP_BOUNDS[place]:g}"
    return f"{low}–{GAP_BOUNDS[place + 1]:g} times" if place + 1 < len(GAP_BOUNDS) else f"{low} times or more"
