"""The curves of an exhibit, failing and healthy, as a small SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

if TYPE_CHECKING:
    from experiments.museum.exhibits import Exhibit
    from experiments.museum.measure import Seen

COLOURS = {"failing": "#c0392b", "healthy": "#2d6cb5"}
MOST_POINTS = 20


def draw_exhibit(exhibit: Exhibit, failing: Sequence[Seen], healthy: Sequence[Seen], path: Path) -> None:
    """A panel for each of the exhibit's signals, and one for the gold reward where the run samples; a line a seed."""
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": exhibit.name, "font.size": 8, "svg.fonttype": "none"})
    from matplotlib import pyplot

    names = [*exhibit.curves, *(["gold"] if failing[0].gold["mean"] else [])]
    figure, axes = pyplot.subplots(1, len(names), figsize=(2.15 * len(names), 1.9))
    for name, axis in zip(names, axes, strict=True):
        for which, runs in (("healthy", healthy), ("failing", failing)):
            for seed, seen in enumerate(runs):
                _line(axis, seen, name, COLOURS[which], which if seed == 0 else None)
        axis.set_title("gold reward (not logged)" if name == "gold" else name, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(length=2)
    axes[0].legend(frameon=False, fontsize=7)
    figure.tight_layout(pad=0.4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _line(axis: Any, seen: Seen, name: str, colour: str, label: str | None) -> None:
    if name == "gold":
        values = np.asarray(seen.gold["mean"])
        steps = np.arange(len(values))
    elif (series := seen.log.run.get(name)) is not None:
        steps, values = series.steps, series.values
    else:
        return
    groups = np.array_split(np.arange(len(values)), min(len(values), MOST_POINTS))  # means of neighbours: a small file
    x, y = ([round(float(np.mean(column[group])), 4) for group in groups] for column in (steps, values))
    axis.plot(x, y, color=colour, linewidth=0.9, alpha=0.75, label=label)
