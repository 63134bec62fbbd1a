"""One self-contained page that holds a second run against a first: verdicts, figures, curves, settings.

Every number on it stands in the two run folders, or is the difference of two that do.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from boresight.pipeline import report_differences as differences
from boresight.pipeline.report import page_environment
from boresight.pipeline.report_overlay import FIRST_SERIES, SECOND_SERIES, Overlay, overlays
from boresight.pipeline.report_parts import Cell, Table
from boresight.pipeline.report_reading import RunRecord, read_run
from boresight.pipeline.report_verdict import Verdict, build_verdict, candidate_names
from boresight.pipeline.report_words import model_name, percent
from boresight.storage import write_text


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs: `letter` A or B, its colour, its record and verdict."""

    letter: str
    series: int
    run: RunRecord
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    title: str
    state: str
    sentences: Sequence[Cell]
    sides: tuple[Side, Side]
    figures: Sequence[tuple[str, Table]]
    curves: Sequence[Overlay]
    settings: Table | None
    inputs: Table | None


def write_comparison(first: Path, second: Path, out: Path | None = None) -> Path:
    """Write the page and return its path; by default into the second run's folder, named after the first.

    Raises DataError where a folder is no run or cannot be read, StorageError where the page cannot be written.
    """
    comparison = compare_runs(read_run(first), read_run(second))
    folder_name = re.sub(r"[^\w.-]+", "-", first.resolve().name)
    path = out or second / f"compared_with_{folder_name}.html"
    write_text(path, page_environment().get_template("comparison.html.j2").render(comparison=comparison))
    return path


def compare_runs(first: RunRecord, second: RunRecord) -> Comparison:
    """What both runs say; every difference is the second's figure minus the first's."""
    sides = (
        Side("A", FIRST_SERIES, first, build_verdict(first)),
        Side("B", SECOND_SERIES, second, build_verdict(second)),
    )
    names = [f"{side.letter}: {side.run.name}" for side in sides]
    tables = {
        "Win rates": differences.win_rates(first, second, names),
        "Measures": differences.measures(first, second, names),
        "Reward models": differences.reward_models(first, second, names),
        "Training": differences.last_values(first, second, names),
    }
    state, title = _title(sides)
    return Comparison(
        title=title,
        state=state,
        sentences=_sentences(first, second),
        sides=sides,
        figures=[(heading, table) for heading, table in tables.items() if table is not None],
        curves=overlays(first, second),
        settings=differences.settings(first, second, names),
        inputs=differences.inputs(first, second, names),
    )


def _title(sides: tuple[Side, Side]) -> tuple[str, str]:
    """Which of the two gates hold; the sign is that of the second run, which is the one in question."""
    words = {"passed": "passed", "failed": "failed", "open": "has no verdict yet", "none": "has no gate"}
    states = [side.verdict.state for side in sides]
    if states[0] == states[1]:
        same = {"passed": "Both runs passed", "failed": "Both runs failed", "open": "Neither run has a verdict yet",
                "none": "Neither run has a gate"}  # fmt: skip
        return states[1], same[states[1]]
    return states[1], f"B {words[states[1]]}, A {words[states[0]]}"


def _sentences(first: RunRecord, second: RunRecord) -> list[Markup]:
    """Where the two runs answered the same prompts: whose candidates win more, and whether that is sure."""
    sentences = []
    for one, other in differences.couples(first, second, "evaluate"):
        for name in candidate_names(one):
            paired = differences.paired_difference(one, other, name)
            if paired is None or name not in other.outcome["candidates"]:
                continue
            rates = [stage.outcome["candidates"][name]["win_rate"] for stage in (one, other)]
            sure = (
                "not told apart" if paired.low <= 0 <= paired.high else "more in B" if paired.low > 0 else "less in B"
            )
            sentences.append(
                Markup("{} wins {} in A and {} in B on the same {} prompts: {}.").format(
                    model_name(name), *(percent(value) for value in rates), f"{paired.n:,}", sure
                )
            )
    return sentences
