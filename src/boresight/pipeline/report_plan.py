"""The planner held against the run: what it expected of each stage, and what the stage took."""

from collections.abc import Sequence

from markupsafe import Markup

from boresight.pipeline.report_parts import Cell, Table
from boresight.pipeline.report_reading import RunRecord, StageRecord
from boresight.pipeline.report_words import data, duration, model_name


def build_plan(run: RunRecord) -> Table | None:
    """A row for each finished stage whose peak was measured; None where the run has none."""
    rows = [_row(stage) for stage in run.finished() if _told(stage, "memory/stage_peak_gib") is not None]
    if not rows:
        return None
    headers = ["Stage", "Peak expected", "Peak measured", "Off by", "Held before", "Time expected", "Time measured"]
    return Table(headers, rows)


def _row(stage: StageRecord) -> Sequence[Cell]:
    peak, expected = _told(stage, "memory/stage_peak_gib"), _told(stage, "memory/predicted_peak_gib")
    before, seconds = _told(stage, "memory/before_gib"), _told(stage, "time/predicted_seconds")
    off: Cell = "–"
    if peak and expected:
        off = data(expected / peak - 1, f"{100 * (expected / peak - 1):+.0f}%".replace("-", "−"))
    return [
        model_name(stage.name),
        _gib(expected),
        _gib(peak),
        off,
        _gib(before),
        "–" if seconds is None else duration(seconds),
        "–" if stage.seconds is None else duration(stage.seconds),
    ]


def _told(stage: StageRecord, name: str) -> float | None:
    return stage.metrics.last(name, "stage")


def _gib(value: float | None) -> Markup | str:
    if value is None:
        return "–"
    return data(value, f"{value:.2f} GiB" if value < 10 else f"{value:.1f} GiB")
