"""Signals of a log as panels, drawn as the report draws the curves of a stage."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from boresight.diagnosis.readers.folders import METHODS, Log
from boresight.diagnosis.rules.rule import Finding
from boresight.diagnosis.signals import LoggedRun, Series
from boresight.pipeline.report_charts import Chart, draw_twice, series_colour
from boresight.pipeline.report_curves import PANELS, Line, Panel, draw_lines, panel_grid
from boresight.runlog.names import METRICS

MOST = 4
TITLES = {next(iter(panel.metrics)): panel.title for panels in PANELS.values() for panel in panels}


def signal_chart(log: Log, findings: Sequence[Finding]) -> Chart | None:
    """Up to four signals: those in the evidence first, then those that a stage of the method would show. None where
    the log has none that our table of metrics knows."""
    shown = _shown(log.run, findings)
    if not shown:
        return None
    panels = [Panel(TITLES.get(series.name, series.name), {series.name: ""}) for series in shown]
    lines = [Line("", series.steps, series.values) for series in shown]

    def draw(width: int) -> Figure:
        figure, frames = panel_grid(width, panels, lines)
        for axes, panel, line in zip(frames, panels, lines, strict=True):
            draw_lines(axes, [(series_colour(1), line)], is_rate=panel.is_rate)
        return figure

    return draw_twice("signals", f"{log.name}: {', '.join(series.name for series in shown)} by step", draw)


def _shown(run: LoggedRun, findings: Sequence[Finding]) -> list[Series]:
    evident = {one.signal for finding in findings for one in finding.evidence}
    first = [name for name, series in run.signals.items() if series.source in evident]
    kind = next((kind for kind, method in METHODS.items() if method == run.method), run.method)
    usual = [next(iter(panel.metrics)) for panel in PANELS.get(kind, ())]
    known = [run.get(name) for name in dict.fromkeys([*first, *usual]) if name in METRICS]
    return [series for series in known if series is not None][:MOST]
