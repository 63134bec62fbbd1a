"""Training curves: for each kind of stage the panels that tell whether it went well, all on one step axis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from boresight.pipeline.report_charts import (
    BOUND,
    DASHES,
    INK,
    MUTED,
    Chart,
    blank_figure,
    draw_twice,
    pixel_axes,
    series_colour,
)
from boresight.pipeline.report_reading import StageRecord
from boresight.pipeline.report_words import counted, number, percent, plain
from boresight.runlog.names import METRICS, Metric, Range
from boresight.runlog.reader import by_split

Array = NDArray[np.float64]
MANY = 100
"""From this many values on a running mean is drawn over them."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Metrics in one frame, each with a label where there are several; those are drawn that the run logged."""

    title: str
    metrics: Mapping[str, str]
    unit: str = ""
    """By default that of the first metric."""

    @property
    def first(self) -> Metric:
        return METRICS[next(iter(self.metrics))]

    @property
    def is_rate(self) -> bool:
        return is_share(self.first)

    @property
    def subtitle(self) -> str:
        """Unit and, where the table of metrics knows one, the healthy range."""
        unit = self.unit or (f"share of {self.first.averaged_over}" if self.is_rate else self.first.unit)
        healthy = self.first.healthy
        if not isinstance(healthy, Range):
            return unit
        if self.is_rate:
            ends = [f"{100 * end:g}%" for end in (healthy.low, healthy.high) if end is not None]
            return f"{unit} · healthy: {' to '.join(ends)}"
        return f"{unit} · healthy: {healthy}".replace("-", "−")


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of a chart, under the name that people read."""

    label: str
    steps: Array
    values: Array


@dataclass(frozen=True, slots=True)
class Course:
    """The curves of one stage with the sentence that sums them up."""

    stage: StageRecord
    summary: Markup
    chart: Chart
    is_small: bool
    """One panel: two such charts fit side by side."""


def is_share(metric: Metric) -> bool:
    """A part of something counted, shown in percent; explained variance is none, it may be negative."""
    return metric.unit == "fraction" and metric.group != "value"


def _one(title: str, metric: str, unit: str = "") -> Panel:
    return Panel(title, {metric: ""}, unit)


_TEXT_LOSS = _one("Loss", "loss/total", "nats a token")
_LOSS = _one("Loss", "loss/total", "nats")
_ACCURACY = _one("Accuracy", "reward/accuracy")
_LOGPS = Panel("Log-probabilities", {"policy/chosen_logp_mean": "chosen", "policy/rejected_logp_mean": "rejected"})
_ROLLOUT = (
    _one("KL to the reference", "policy/kl_to_reference"),
    _one("Reward model's score", "reward/score"),
    _one("Entropy", "policy/entropy"),
    _one("Clip fraction", "policy/clip_fraction"),
    _one("Response length", "rollout/length_tokens"),
    _one("Value model: explained variance", "value/explained_variance", "share of the returns' variance"),
    _one("Stop rate", "rollout/stop_rate"),
)
PANELS: Mapping[str, tuple[Panel, ...]] = {
    "pretrain": (_TEXT_LOSS,),
    "sft": (_TEXT_LOSS,),
    "reward_model": (
        Panel("Loss", {"loss/preference": "", "loss/total": "", "eval/nll": ""}),
        Panel("Accuracy", {"reward/accuracy": "", "eval/accuracy": ""}),
        _one("Calibration error", "eval/ece"),
    ),
    "ppo": _ROLLOUT[:6],
    "rloo": (*_ROLLOUT[:5], _ROLLOUT[6]),
    "dpo": (
        _LOSS,
        Panel("Implicit rewards", {"reward/chosen": "chosen", "reward/rejected": "rejected"}),
        _one("Margin", "reward/margin"),
        _ACCURACY,
    ),
    "simpo": (_LOSS, _LOGPS, _one("Margin", "reward/margin"), _ACCURACY),
    "kto": (
        _LOSS,
        Panel("Implicit rewards", {"reward/chosen": "good", "reward/rejected": "bad"}),
        _one("Margin", "reward/margin"),
        _one("Baseline", "policy/kl_baseline"),
    ),
    "orpo": (
        _LOSS,
        _LOGPS,
        _one("Log odds ratio", "policy/log_odds_ratio"),
        _ACCURACY,
    ),
}
_SUMMED_UP = {
    "loss/total": "loss",
    "policy/kl_to_reference": "KL to the reference",
    "reward/score": "reward",
    "reward/margin": "margin",
    "reward/accuracy": "accuracy",
    "value/explained_variance": "explained variance",
}


def course(stage: StageRecord, series: int) -> Course | None:
    """Curves of a training stage in its colour, finished or not; None where it logged nothing that has a panel."""
    panels = [panel for panel in PANELS.get(stage.kind, ()) if lines_of(stage, panel)]
    if not panels:
        return None
    label = f"{stage.name}: {', '.join(panel.title.lower() for panel in panels)} over the training steps"
    chart = draw_twice(f"curves-{stage.name}", label, lambda width: _draw_panels(width, stage, panels, series))
    return Course(stage, _summary(stage), chart, is_small=len(panels) == 1)


def running_mean(steps: Array, values: Array, width: int) -> tuple[Array, Array]:
    """Means over windows of `width` neighbouring values, at the windows' middle steps."""
    kernel = np.full(width, 1 / width)
    return np.convolve(steps, kernel, mode="valid"), np.convolve(values, kernel, mode="valid")


def lines_of(stage: StageRecord, panel: Panel) -> list[Line]:
    """The panel's metrics that the stage logged, one line for each split; of two training losses the first."""
    lines: list[Line] = []
    for metric, label in panel.metrics.items():
        for split, points in by_split(stage.metrics, metric).items():
            steps, values = np.asarray(points, dtype=np.float64).T
            words = label or ("training" if split == "train" else plain(split))
            if all(line.label != words for line in lines):
                lines.append(Line(words, steps, values))
    return lines


def _draw_panels(width: int, stage: StageRecord, panels: Sequence[Panel], series: int) -> Figure:
    drawn = [lines_of(stage, panel) for panel in panels]
    figure, frames = panel_grid(width, panels, [line for lines in drawn for line in lines])
    for axes, panel, lines in zip(frames, panels, drawn, strict=True):
        colours = [series_colour(series), INK, MUTED]
        draw_lines(axes, list(zip(colours, lines, strict=False)), is_rate=panel.is_rate)
        _draw_anchor(axes, stage, panel)
    return figure


def panel_grid(width: int, panels: Sequence[Panel], lines: Sequence[Line]) -> tuple[Figure, list[Axes]]:
    """Dressed axes, one a panel in two columns (on a phone one), on the step axis of all lines."""
    columns = 1 if width < 600 or len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    height, title, left, right, gap = 128, 60, 46, 48, 22
    if len(panels) == 1 and width >= 600:
        width = (width - gap) // 2
    panel_width = (width - (columns - 1) * gap) / columns - left - right
    figure = blank_figure(width, rows * (height + title) + 44)
    first_step, last_step = min(line.steps[0] for line in lines), max(line.steps[-1] for line in lines)
    frames = []
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        x, y = left + column * (left + panel_width + right + gap), title + row * (height + title)
        axes = pixel_axes(figure, x, y, panel_width, height)
        axes.set_xlim(first_step, max(last_step, first_step + 1))
        _dress_panel(axes, panel)
        is_last = index + columns >= len(panels)
        axes.tick_params(labelbottom=is_last)
        if is_last:
            axes.set_xlabel("step")
        frames.append(axes)
    return figure, frames


def _dress_panel(axes: Axes, panel: Panel) -> None:
    title: dict[str, Any] = {"fontsize": 13, "fontweight": "bold", "color": INK}
    for text, height, style in ((panel.title, 28, title), (panel.subtitle, 12, {"color": MUTED})):
        axes.annotate(
            text, (0, 1), xycoords="axes fraction", xytext=(-44, height), textcoords="offset points",
            annotation_clip=False, **style
        )  # fmt: skip
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0, pad=5)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value, is_rate=panel.is_rate)))


def draw_lines(axes: Axes, coloured: Sequence[tuple[str, Line]], *, is_rate: bool, labelled: bool = True) -> None:
    """The values as they are; where they are many, faint under their running mean. The last one stands at the end."""
    colours, lines = [colour for colour, _ in coloured], [line for _, line in coloured]
    for colour, line, style in zip(colours, lines, ("-", (0, (4, 2)), ":"), strict=False):
        steps, values = line.steps, line.values
        if len(values) > MANY:
            axes.plot(steps, values, color=colour, lw=1, alpha=0.3)
            steps, values = running_mean(steps, values, len(values) // 20)
        axes.plot(steps, values, color=colour, lw=2, marker="o" if len(values) <= 12 else "", markersize=4,
                  linestyle=style)  # fmt: skip
    if is_rate:
        low, high = axes.get_ylim()
        axes.set_ylim(low, min(high, 1.0 + 0.04 * (1.0 - low)))
    places = _spread([float(line.values[-1]) for line in lines], axes)
    for index, (line, place, colour) in enumerate(zip(lines, places, colours, strict=False)):
        axes.annotate(_short(float(line.values[-1]), is_rate=is_rate), (line.steps[-1], place), xytext=(6, 0),
                      textcoords="offset points", va="center", fontweight="bold", color=colour,
                      annotation_clip=False)  # fmt: skip
        if labelled and len(lines) > 1:
            axes.annotate(line.label, (1, 1), xycoords="axes fraction", ha="right", fontweight="bold", color=colour,
                          xytext=(48 - 72 * (len(lines) - 1 - index), 28), textcoords="offset points",
                          annotation_clip=False)  # fmt: skip


def _spread(ends: Sequence[float], axes: Axes) -> list[float]:
    """Heights for the labels of up to three line ends: those that would overlap are moved apart."""
    low, high = axes.get_ylim()
    room = (high - low) * 0.13
    order = sorted(range(len(ends)), key=lambda index: ends[index])
    places = list(ends)
    for lower, upper in pairwise(order):
        overlap = room - (places[upper] - places[lower])
        if overlap > 0:
            places[lower] -= overlap / 2
            places[upper] += overlap / 2
    return places


def _draw_anchor(axes: Axes, stage: StageRecord, panel: Panel) -> None:
    """What the curve is to be held against: the reference's mean score, or chance."""
    mean = stage.outcome.get("reward_mean")
    anchors = {"reward/score": (mean, "mean of the reference"), "reward/accuracy": (0.5, "chance")}
    value, label = anchors.get(next(iter(panel.metrics)), (None, ""))
    if value is None:
        return
    axes.axhline(value, color=BOUND, lw=1.2, linestyle=DASHES, zorder=1)
    axes.annotate(label, (1, value), xycoords=("axes fraction", "data"), xytext=(-2, 4), textcoords="offset points",
                  ha="right", fontsize=11, color=MUTED)  # fmt: skip


def _short(value: float, *, is_rate: bool) -> str:
    text = f"{100 * value:.3g}%" if is_rate else f"{value:.3g}"
    return text.replace("-", "−")


def _summary(stage: StageRecord) -> Markup:
    """One sentence from the last logged values."""
    facts = []
    for metric, words in _SUMMED_UP.items():
        value = stage.metrics.last(metric)
        if value is not None:
            shown = percent(value) if is_share(METRICS[metric]) else number(value)
            facts.append(Markup("{} {}").format(words, shown))
    logged = max(stage.metrics.steps)
    when = Markup("At the last of {}").format(counted(int(stage.outcome.get("steps", logged)), "step"))
    if not stage.done:
        when = Markup("Not finished; at step {}").format(logged)
    return Markup("{}: {}.{}").format(when, Markup(", ").join(facts), _about_reference(stage))


def _about_reference(stage: StageRecord) -> str:
    if stage.outcome.get("reference_is_start"):
        return " Its reference is the model that it started from, asked before the first update."
    return " The reference's weights were the same at the end." if stage.outcome.get("reference_unchanged") else ""
