"""The training curves of two runs in one frame: what was trained differently, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from boresight.pipeline.report_charts import Chart, draw_twice, series_colour
from boresight.pipeline.report_curves import PANELS, Line, Panel, draw_lines, lines_of, panel_grid
from boresight.pipeline.report_reading import RunRecord, StageRecord

FIRST_SERIES, SECOND_SERIES = 1, 2


@dataclass(frozen=True, slots=True)
class Overlay:
    """The curves of one metric in two runs."""

    name: str
    kind: str
    chart: Chart
    is_small: bool
    """One panel: two such charts fit side by side."""


def overlays(first: RunRecord, second: RunRecord) -> list[Overlay]:
    """One for each stage that both runs have under one name and kind, and that logged curves in both."""
    others = {(stage.name, stage.kind): stage for stage in second.stages}
    found = []
    for stage in first.stages:
        other = others.get((stage.name, stage.kind))
        if other is not None and (overlay := _overlay(stage, other)) is not None:
            found.append(overlay)
    return found


def _overlay(first: StageRecord, second: StageRecord) -> Overlay | None:
    panels = [p for p in PANELS.get(first.kind, ()) if lines_of(first, p) and lines_of(second, p)]
    if not panels:
        return None
    label = f"{first.name} in both runs: {', '.join(panel.title.lower() for panel in panels)} over the training steps"
    chart = draw_twice(f"overlay-{first.name}", label, lambda width: _draw(width, (first, second), panels))
    return Overlay(first.name, first.kind, chart, is_small=len(panels) == 1)


def _draw(width: int, stages: Sequence[StageRecord], panels: Sequence[Panel]) -> Figure:
    """Of each run the panel's first line, so that two colours stay two runs."""
    drawn: list[list[tuple[str, Line]]] = [
        [
            (series_colour(series), lines_of(stage, panel)[0])
            for stage, series in zip(stages, (FIRST_SERIES, SECOND_SERIES), strict=True)
        ]
        for panel in panels
    ]
    figure, frames = panel_grid(width, panels, [line for coloured in drawn for _, line in coloured])
    for axes, panel, coloured in zip(frames, panels, drawn, strict=True):
        draw_lines(axes, coloured, is_rate=panel.is_rate, labelled=False)
    return figure
