"""One self-contained HTML page of a run: verdict, story, curves, examples, data, lineage.

Every number on it stands in the run folder; a section whose stages are missing is left out, and what is missing is
said at the top. Equal folders give equal bytes.
"""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from boresight.pipeline.evidence_card import write_cards
from boresight.pipeline.report_curves import MANY, course
from boresight.pipeline.report_data import build_data
from boresight.pipeline.report_examples import chosen_examples
from boresight.pipeline.report_findings import examine
from boresight.pipeline.report_lineage import build_lineage
from boresight.pipeline.report_parts import BASE_SERIES, model_series
from boresight.pipeline.report_plan import build_plan
from boresight.pipeline.report_reading import RunRecord, read_run
from boresight.pipeline.report_story import tell
from boresight.pipeline.report_verdict import build_verdict, comparisons
from boresight.pipeline.report_words import number
from boresight.storage import write_text

REPORT_FILE = "report.html"


def write_report(run_folder: Path) -> Path:
    """Write `report.html` into the run folder and return its path; a card of each model is written with it.

    Raises DataError where the folder is no run or one of its files cannot be read, StorageError where it cannot be
    written to.
    """
    path = run_folder / REPORT_FILE
    run = read_run(run_folder)
    write_text(path, render(run))
    write_cards(run)
    return path


def page_environment() -> Environment:
    """The templates of all pages; whatever a model wrote is escaped."""
    environment = Environment(
        loader=PackageLoader("boresight.pipeline"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment


def render(run: RunRecord) -> str:
    """The page as text."""
    series = model_series(run)
    drawn = [course(stage, series.get(stage.name, 0) % BASE_SERIES) for stage in run.stages]
    courses = [curves for curves in drawn if curves is not None]
    examples = [(stage, found) for stage in comparisons(run) if (found := chosen_examples(run, stage))]
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            verdict=build_verdict(run),
            chapters=tell(run),
            examined=examine(run),
            courses=courses,
            examples=examples,
            data=build_data(run),
            plan=build_plan(run),
            lineage=build_lineage(run),
            many=MANY,
        )
    )
