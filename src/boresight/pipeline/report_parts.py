"""The pieces that a page is put together from; the template draws each by its `part` name."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from boresight.pipeline.report_charts import Chart
from boresight.pipeline.report_reading import POLICY_KINDS, Json, RunRecord

Cell = Markup | str
BASE_SERIES, REWARD_SERIES = 6, 5


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose first column is a row header. `summary` folds it away under these words."""

    headers: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    caption: Cell = ""
    summary: str = ""
    part: str = field(default="table", init=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its caption; `legend` lists (series, name); `beside` stands to its right."""

    chart: Chart
    caption: Cell
    legend: Sequence[tuple[int, str]] = ()
    beside: Table | None = None
    part: str = field(default="figure", init=False)


@dataclass(frozen=True, slots=True)
class Voice:
    """A model that gave a response; `verdict` is won, lost, tied, or baseline."""

    model: str
    series: int
    verdict: str
    score: float | None


@dataclass(frozen=True, slots=True)
class SharedResponse:
    """One response and every model that gave it word for word."""

    voices: Sequence[Voice]
    text: str
    stopped: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class SideBySide:
    """A prompt and what each model answered."""

    prompt_id: str
    kind: str
    messages: Sequence[Json]
    responses: Sequence[SharedResponse]
    why: Cell = ""
    part: str = field(default="side_by_side", init=False)


Part = Figure | Table | SideBySide


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the report with its heading."""

    title: Cell
    paragraphs: Sequence[Cell]
    parts: Sequence[Part] = ()


def model_series(run: RunRecord) -> dict[str, int]:
    """A colour number for every model, the same on the whole page: 6 for base models, 0 for SFT, 5 for reward models,
    1 to 4 for what preferences made, in the order of the run."""
    series: dict[str, int] = {"base_model": BASE_SERIES}
    aligned = 0
    for stage in run.stages:
        if stage.kind in ("pretrain", "sft"):
            series[stage.name] = BASE_SERIES if stage.kind == "pretrain" else 0
        elif stage.kind == "reward_model":
            series[stage.name] = REWARD_SERIES
        elif stage.kind in POLICY_KINDS:
            series[stage.name] = 1 + aligned % (REWARD_SERIES - 1)
            aligned += 1
    return series
