"""Charts as inline SVG that take their colours from the page: text is `currentColor`, series are CSS variables.

Matplotlib draws with sentinel colours; they are replaced in the SVG text. Equal input gives equal bytes: ids are
salted with the chart's name, and neither date nor program version is written. One unit of a figure is one CSS pixel,
and every chart is drawn twice, for a wide column and for a phone, so that its letters keep their size.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from boresight.data.wording import percent as percent_text
from boresight.pipeline.report_words import Rate, interval_text

WIDE, NARROW = 820, 340
INK, MUTED, GRID, BAND, SURFACE, BOUND = "#010100", "#010101", "#010102", "#010103", "#010104", "#010105"
_CSS_COLOURS = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    BAND: "var(--band)",
    SURFACE: "var(--surface)",
    BOUND: "var(--bound)",
}
SERIES_COUNT = 7
DASHES = (0, (4, 3))
_MARKERS = ("o", "o", "s", "D", "^", "v", "P")
_MARKER_SIZES = {"o": 8.0, "s": 7.5, "D": 6.8, "^": 9.5, "v": 9.5, "P": 9.5}


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture in two widths (perhaps the same) with the sentence that stands in for it where it cannot be seen."""

    wide: Markup
    narrow: Markup
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalRow:
    """A point with its interval; `series` picks colour and marker."""

    label: str
    rate: Rate
    series: int = 1
    emphasis: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalGroup:
    """Rows under one title, perhaps with a line of their own: the baseline's rate, or a bound of the gate."""

    rows: Sequence[IntervalRow]
    title: str = ""
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line through the whole chart."""

    value: float
    label: str
    dashed: bool = True


def series_colour(series: int) -> str:
    """The colour that stands for a series while it is drawn; the page puts the style sheet's in its place."""
    return f"#0102{series % SERIES_COUNT:02x}"


def series_marker(series: int) -> str:
    """The marker of a series by its number, so that colour is not all that tells them apart."""
    return _MARKERS[series % SERIES_COUNT]


def draw_twice(name: str, label: str, draw: Callable[[int], Figure]) -> Chart:
    """`draw` makes the figure for a width in pixels."""
    return Chart(
        wide=to_svg(_styled(draw, WIDE, name), f"{name}-w", label),
        narrow=to_svg(_styled(draw, NARROW, name), f"{name}-n", label),
        label=label,
    )


def to_chart(name: str, label: str, draw: Callable[[], Figure]) -> Chart:
    """A chart that is small enough for every screen as it is."""
    svg = to_svg(_styled(lambda _: draw(), NARROW, name), name, label)
    return Chart(wide=svg, narrow=svg, label=label)


def interval_chart(
    name: str,
    label: str,
    groups: Sequence[IntervalGroup],
    *,
    marks: Sequence[Mark] = (),
    limits: tuple[float, float] = (0.0, 1.0),
) -> Chart:
    """Points with 95 % intervals on one axis of rates, in rows; titles and values beside them, above on a phone."""
    return draw_twice(name, label, lambda width: _draw_intervals(width, groups, marks, limits))


def blank_figure(width: int, height: float) -> Figure:
    """An empty transparent figure of that many CSS pixels."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    figure.patch.set_alpha(0)
    return figure


def pixel_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place counted in pixels from the upper left corner."""
    total_width, total_height = figure.get_size_inches() * 72
    box = (left / total_width, 1 - (top + height) / total_height, width / total_width, height / total_height)
    axes: Axes = figure.add_axes(box)
    axes.patch.set_alpha(0)
    return axes


def to_svg(figure: Figure, name: str, label: str) -> Markup:
    """The figure as an `<svg>` element for an HTML page: no prolog, no metadata, ids of its own, page colours."""
    buffer = io.StringIO()
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"| version="1\.1"', "", text).replace("xlink:href", "href")
    text = re.sub(r'\bid="', f'id="{name}-', text).replace('href="#', f'href="#{name}-')
    text = text.replace("url(#", f"url(#{name}-")
    text = re.sub(r'width="([\d.]+)pt" height="([\d.]+)pt"', r'width="\1" height="\2"', text, count=1)
    text = re.sub("#01010[0-5]", lambda match: _CSS_COLOURS[match[0]], text)
    text = re.sub("#0102([0-9a-f]{2})", lambda match: f"var(--s{int(match[1], 16)})", text)
    text = re.sub(r"\n\s*", "\n", re.sub(r"<!--.*?-->", "", text)).replace("\n<", "<").strip()
    opening = Markup('<svg role="img" aria-label="{}" ').format(label)
    return Markup(str(opening) + text.removeprefix("<svg "))


def percent_axis(axes: Axes, most: int = 5) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))


_SETTINGS = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 12,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": GRID,
    "grid.linewidth": 1,
    "axes.linewidth": 1,
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def _styled(draw: Callable[[int], Figure], width: int, name: str) -> Figure:
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": name}):
        return draw(width)


def _draw_intervals(
    width: int, groups: Sequence[IntervalGroup], marks: Sequence[Mark], limits: tuple[float, float]
) -> Figure:
    narrow = width < 600
    titled = any(group.title for group in groups)
    row_height = 18 if titled else 40 if narrow else 30
    gap = (40 if narrow else 16) if titled else 0
    heights = [len(group.rows) * row_height + gap for group in groups]
    top = 24 if marks else 6
    figure = blank_figure(width, top + sum(heights) + 28)
    left, right = (6, 62 if titled else 6) if narrow else (180, 158)
    axes = pixel_axes(figure, left, top, width - left - right, sum(heights))
    axes.set_xlim(*limits)
    axes.set_ylim(sum(heights), 0)
    _dress_interval_axes(axes, marks)
    y = 0.0
    for group, height in zip(groups, heights, strict=True):
        _draw_group(axes, group, marks, y, height, row_height)
        y += height
    return figure


def _is_narrow(axes: Axes) -> bool:
    figure = axes.get_figure(root=True)
    assert figure is not None  # every axes here is made by `pixel_axes`
    return bool(figure.get_size_inches()[0] * 72 < 600)


def _dress_interval_axes(axes: Axes, marks: Sequence[Mark]) -> None:
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0, pad=6)
    percent_axis(axes)
    for mark in marks:
        axes.annotate(mark.label, (mark.value, 1), xycoords=("data", "axes fraction"), xytext=(0, 7),
                      textcoords="offset points", ha="center", fontsize=12, color=MUTED)  # fmt: skip


def _draw_group(
    axes: Axes, group: IntervalGroup, marks: Sequence[Mark], top: float, height: float, row_height: float
) -> None:
    narrow, titled = _is_narrow(axes), bool(group.title)
    span = len(group.rows) * row_height
    start = top + height - span - (8 if titled else 0)  # upper edge of the first row
    low, high = (start - 2, start + span + 2) if titled else (top, top + height)
    if narrow and not titled:
        low = top + 20  # lines stay clear of the label above the bar
    if titled:
        if top > 0:
            box = axes.get_position()
            ends = [-box.x0 / box.width, (1 - box.x0) / box.width]
            axes.plot(ends, [top, top], color=GRID, lw=1, transform=axes.get_yaxis_transform(), clip_on=False)
        place, offset = ((0, top + 20), (-6, 0)) if narrow else ((0, start + span / 2), (-180, 0))
        _write(axes, group.title, place, offset, fontweight="bold")
    _draw_lines_behind(axes, marks, group.bound, low, high)
    for index, row in enumerate(group.rows):
        y = start + (index + (0.75 if narrow and not titled else 0.5)) * row_height
        _draw_point(axes, row, y)
        _write_row(axes, row, y, titled=titled)


def _draw_lines_behind(axes: Axes, marks: Sequence[Mark], bound: float | None, low: float, high: float) -> None:
    left, right = axes.get_xlim()
    for tick in axes.xaxis.get_major_locator().tick_values(left, right):
        if left <= tick <= right:
            axes.plot([tick, tick], [low, high], color=GRID, lw=1, zorder=0)
    lines = [(mark.value, mark.dashed) for mark in marks] + ([] if bound is None else [(bound, True)])
    for value, dashed in lines:
        axes.plot([value, value], [low, high], color=BOUND if dashed else MUTED, lw=1.3, zorder=1.5,
                  linestyle=DASHES if dashed else "-")  # fmt: skip


def _draw_point(axes: Axes, row: IntervalRow, y: float) -> None:
    colour, marker = series_colour(row.series), series_marker(row.series)
    if row.rate.low is not None and row.rate.high is not None:
        axes.plot([row.rate.low, row.rate.high], [y, y], color=colour, lw=3, solid_capstyle="round", alpha=0.5,
                  zorder=3, clip_on=False)  # fmt: skip
    axes.plot([row.rate.value], [y], marker=marker, color=colour, markersize=_MARKER_SIZES[marker], lw=0,
              markeredgecolor=SURFACE, markeredgewidth=0.8, zorder=4, clip_on=False)  # fmt: skip


def _write_row(axes: Axes, row: IntervalRow, y: float, *, titled: bool) -> None:
    """The label on the left (a titled group's legend names its rows), value and interval on the right."""
    weight = "bold" if row.emphasis else "normal"
    value, interval = percent_text(row.rate.value), interval_text(row.rate)
    if _is_narrow(axes) and titled:
        _write(axes, value, (1, y), (60, 0), ha="right", fontsize=12)
    elif _is_narrow(axes):
        _write(axes, row.label, (0, y - 17), (-6, 0), fontweight=weight)
        _write(axes, value, (1, y - 17), (-80, 0), ha="right", fontweight="bold")
        _write(axes, interval, (1, y - 17), (6, 0), ha="right", fontsize=12, color=MUTED)
    else:
        size = 12 if titled else 13
        if not titled:
            _write(axes, row.label, (0, y), (-180, 0), fontweight=weight)
        _write(axes, value, (1, y), (64, 0), ha="right", fontsize=size, fontweight="bold")
        _write(axes, interval, (1, y), (158, 0), ha="right", fontsize=size - 0.5, color=MUTED)


def _write(axes: Axes, text: str, place: tuple[float, float], offset: tuple[float, float], **style: Any) -> None:
    """Text at x as a fraction of the axes and y in rows' pixels, moved by `offset` pixels; it may leave the axes."""
    axes.annotate(text, place, xycoords=("axes fraction", "data"), xytext=offset, textcoords="offset points",
                  va="center", annotation_clip=False, **({"fontsize": 13} | style))  # fmt: skip
