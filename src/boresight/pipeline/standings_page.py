"""Win rates as a page: every candidate with its interval, category by category, and what warns of the judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from boresight.pipeline.report import page_environment
from boresight.pipeline.report_charts import Chart, IntervalGroup, IntervalRow, Mark, interval_chart
from boresight.pipeline.report_parts import BASE_SERIES, Cell, Figure, Table
from boresight.pipeline.report_words import Rate, count, number, plain, rate
from boresight.storage import write_text

Block = Mapping[str, Any]
PARTS = {"by_category": "By category", "by_kind": "By kind"}
EVEN = 0.5


@dataclass(frozen=True, slots=True)
class StandingsPage:
    title: str
    warnings: Sequence[str]
    standings: Table
    figure: Figure
    parts: Sequence[tuple[str, Figure]]
    ratings: Table | None


def write_standings_page(path: Path, result: Mapping[str, Any]) -> None:
    """Write the page of a result of `boresight.evaluation.standings`. Raises StorageError where it cannot be."""
    write_text(path, page_environment().get_template("standings.html.j2").render(page=build_page(result)))


def build_page(result: Mapping[str, Any]) -> StandingsPage:
    blocks = result["files"]
    against = sorted({str(block["baseline"]) for block in blocks})
    names = _names(blocks)
    series = {name: place % BASE_SERIES for place, name in enumerate(names)}
    parts = [
        (title, _part_figure(key, blocks, names, series)) for key, title in PARTS.items() if any(b[key] for b in blocks)
    ]
    return StandingsPage(
        title=f"Win rates against {', '.join(against)}",
        warnings=[
            f"{name}: {found['message']}" for name, b in zip(names, blocks, strict=True) for found in b["warnings"]
        ],
        standings=_standings(blocks, names),
        figure=Figure(_chart("standings", "Win rate of each candidate", blocks, names, series), ""),
        parts=parts,
        ratings=_ratings(result),
    )


def _names(blocks: Sequence[Block]) -> list[str]:
    """Candidates' names; where two files have the same one, with the file's."""
    seen = [str(block["candidate"]) for block in blocks]
    return [
        name if seen.count(name) == 1 else f"{name} ({Path(str(block['file'])).name})"
        for name, block in zip(seen, blocks, strict=True)
    ]


def _rate(block: Block) -> Rate:
    low, high = block["ci95"]
    return Rate(block["win_rate"] / 100, low / 100, high / 100, block["n"])


def _chart(name: str, label: str, blocks: Sequence[Block], names: Sequence[str], series: Mapping[str, int]) -> Chart:
    rows = [IntervalRow(label=n, rate=_rate(b), series=series[n]) for n, b in zip(names, blocks, strict=True)]
    return interval_chart(name, label, [IntervalGroup(rows=rows)], marks=[Mark(EVEN, "even")])


def _part_figure(key: str, blocks: Sequence[Block], names: Sequence[str], series: Mapping[str, int]) -> Figure:
    parts = sorted({part for block in blocks for part in block[key]})
    groups = [
        IntervalGroup(
            rows=[
                IntervalRow(label=name, rate=_rate(block[key][part]), series=series[name])
                for name, block in zip(names, blocks, strict=True)
                if part in block[key]
            ],
            title=plain(part),
        )
        for part in parts
    ]
    chart = interval_chart(key, PARTS[key], groups, marks=[Mark(EVEN, "even")])
    return Figure(chart, "95% intervals over prompts.", [(series[name], name) for name in names])


def _standings(blocks: Sequence[Block], names: Sequence[str]) -> Table:
    rows: list[list[Cell]] = []
    for name, block in zip(names, blocks, strict=True):
        controlled, tainted = block["length_controlled_win_rate"], block["contamination"]
        rows.append(
            [
                name,
                rate(_rate(block)),
                "–" if controlled is None else Markup("{} %").format(number(controlled)),
                Markup("{} / {} / {}").format(*(count(block[key]) for key in ("wins", "losses", "ties"))),
                number(block["permutation_p_holm"]),
                "–" if tainted is None else count(tainted["exact"] + tainted["near"]),
            ]
        )
    headers = [
        "Candidate",
        "Win rate",
        "Length-controlled",
        "Won / lost / tied",
        "p (Holm)",
        "Prompts seen in training",
    ]
    return Table(headers, rows)


def _ratings(result: Mapping[str, Any]) -> Table | None:
    if not result.get("ratings"):
        return None
    rows: list[list[Cell]] = [
        [one["model"], number(one["elo"]), Markup("{} to {}").format(*(number(end) for end in one["ci95"]))]
        for one in result["ratings"]
    ]
    return Table(["Model", "Elo", "95 %"], rows)
