"""How well the doctor knows the museum: confusion tables, and how early it sees the reward hacked.

    python -m experiments.museum.measure --json docs/figures/museum.json --figures docs/figures/museum
    python -m experiments.museum.measure --peer peer/bin/python     # beside rldoctor

A failing run is recognised where the first finding is the fault or what it brings about (`Exhibit.findings`), or where
the fault is one that a note tells, nothing graver was found and the note is there; the fault itself is named where it
stands among the findings. A healthy run is a false alarm where anything above a note is found.
The exhibit that shows no failure (both DPO rewards fall) counts as healthy, and as recognised where the note says so.
Exit code 1 where fewer than 95 % are recognised or more than 5 % of the healthy runs give an alarm.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from experiments.museum.build import DONE
from experiments.museum.draw import draw_exhibit
from experiments.museum.exhibits import EXHIBITS, Exhibit
from experiments.museum.lead import lead_of, summary
from experiments.museum.training import read_gold

from boresight.diagnosis.diagnose import Diagnosis, diagnose
from boresight.diagnosis.readers.folders import Log, read_stage
from boresight.stats.intervals import wilson
from boresight.storage import read_json, write_json

LEAST_RECALL, MOST_ALARMS = 0.95, 0.05


class Seen(NamedTuple):
    """One run and what the doctor says of it."""

    exhibit: Exhibit
    folder: Path
    log: Log
    diagnosis: Diagnosis
    gold: dict[str, list[float]]

    @property
    def first(self) -> str:
        return self.diagnosis.findings[0].id

    @property
    def alarms(self) -> list[str]:
        return [finding.id for finding in self.diagnosis.findings if finding.severity != "note"]

    @property
    def recognised(self) -> bool:
        return self.first in self.exhibit.findings or (self.named and not self.alarms)

    @property
    def named(self) -> bool:
        return self.exhibit.findings[0] in [finding.id for finding in self.diagnosis.findings]


def look(exhibit: Exhibit, folder: Path) -> Seen:
    log = read_stage(folder)
    return Seen(exhibit, folder, log, diagnose(log.run), read_gold(folder))


def runs_of(exhibit: Exhibit, out: Path, *, fails: bool) -> list[Seen]:
    name = exhibit.name if fails else exhibit.twin or exhibit.name
    folders = sorted((out / name).glob("failing-*" if fails else "healthy-*"))
    return [look(exhibit, folder) for folder in folders if (folder / DONE).exists()]


def counted(exhibit: Exhibit, failing: Sequence[Seen], healthy: Sequence[Seen]) -> dict[str, Any]:
    """Figures of one exhibit."""
    return {
        "runs": len(failing),
        "recognised": sum(seen.recognised for seen in failing),
        "named": sum(seen.named for seen in failing),
        "first": _tally([seen.first for seen in failing]),
        "twins": len(healthy),
        "twins_with_alarm": sum(bool(seen.alarms) for seen in healthy),
        "twin_alarms": _tally([name for seen in healthy for name in seen.alarms]),
        "twin_first": _tally([seen.first for seen in healthy]),
    }


def _tally(names: Sequence[str]) -> dict[str, int]:
    return {name: list(names).count(name) for name in sorted(set(names))}


def totals(seen: dict[str, tuple[list[Seen], list[Seen]]]) -> dict[str, Any]:
    """Over all exhibits; a twin that several share counts once."""
    failing = [one for runs, _ in seen.values() for one in runs]
    broken = [one for one in failing if not one.exhibit.fine]
    healthy = {one.folder: one for _, twins in seen.values() for one in twins}
    healthy |= {one.folder: one for one in failing if one.exhibit.fine}
    right = sum(one.recognised for one in failing)
    alarms = sum(bool(one.alarms) for one in healthy.values())
    return {
        "failing": len(failing), "recognised": right, "recall": right / max(len(failing), 1),
        "recall_ci95": _interval(right, len(failing)), "named": sum(one.named for one in failing),
        "faults": len(broken), "faults_with_alarm": sum(bool(one.alarms) for one in broken),
        "healthy": len(healthy), "healthy_with_alarm": alarms, "false_alarm_rate": alarms / max(len(healthy), 1),
        "false_alarm_ci95": _interval(alarms, len(healthy)),
    }  # fmt: skip


def _interval(hits: int, of: int) -> list[float]:
    found = wilson(hits, max(of, 1))
    return [found.low, found.high]


def words(seen: Seen) -> list[dict[str, str]]:
    """The doctor's own words of a run: the first two findings, and the fault itself where it comes later."""
    found = seen.diagnosis.findings
    shown = [*found[:2], *(one for one in found[2:] if one.id == seen.exhibit.findings[0])]
    return [{"id": one.id, "severity": one.severity, "cause": one.cause, "action": one.action} for one in shown]


def gold_of(runs: Sequence[Seen]) -> dict[str, list[float]] | None:
    """Mean gold reward of the first and of the last fifth, of each run."""
    golds = [np.asarray(seen.gold["mean"]) for seen in runs if seen.gold["mean"]]
    if not golds:
        return None
    fifth = [max(len(gold) // 5, 1) for gold in golds]
    return {
        "start": [float(gold[:n].mean()) for gold, n in zip(golds, fifth, strict=True)],
        "end": [float(gold[-n:].mean()) for gold, n in zip(golds, fifth, strict=True)],
    }


def as_table(figures: dict[str, dict[str, Any]]) -> str:
    lines = ["| exhibit | recognised | fault named | first findings | twins with an alarm |", "|---|---|---|---|---|"]
    for name, one in figures.items():
        first = ", ".join(f"`{finding}` {count}" for finding, count in one["first"].items())
        alarms = ", ".join(f"`{finding}`" for finding in one["twin_alarms"])
        lines.append(
            f"| {name} | {one['recognised']} of {one['runs']} | {one['named']} of {one['runs']} | {first} "
            f"| {one['twins_with_alarm']} of {one['twins']}{f' ({alarms})' if alarms else ''} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/museum"))
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--figures", type=Path, help="folder for the curves, as SVG")
    parser.add_argument("--peer", help="a Python in which rldoctor is installed")
    options = parser.parse_args()
    seen = {
        exhibit.name: (runs_of(exhibit, options.runs, fails=True), runs_of(exhibit, options.runs, fails=False))
        for exhibit in EXHIBITS
    }
    if missing := [name for name, (failing, twins) in seen.items() if not failing or not twins]:
        print(f"{options.runs}: no runs of {', '.join(missing)}; python -m experiments.museum.build", file=sys.stderr)
        return 2
    figures = {name: counted(failing[0].exhibit, failing, twins) for name, (failing, twins) in seen.items()}
    whole = totals(seen)
    print(as_table(figures))
    for name, value in whole.items():
        print(f"{name:20s} {value}")
    leads = [lead_of(one.log.run, one.gold) for one in seen["reward_hacking"][0]]
    print(summary(leads))
    beside = peer_counts(options.peer, seen) if options.peer else None
    if options.json:
        before = read_json(options.json) if options.json.exists() else {}
        write_json(options.json, {
            "seeds": min(len(runs) for runs, _ in seen.values()), "runs": whole["failing"],
            "order": list(seen),
            "table": as_table(figures), "totals": whole, "exhibits": {
                name: {
                    "title": failing[0].exhibit.title, "wrong": failing[0].exhibit.wrong,
                    "words": words(failing[0]),
                    "twin_words": words(twins[0]), "gold": gold_of(failing), "twin_gold": gold_of(twins),
                    **figures[name],
                }
                for name, (failing, twins) in seen.items()
            },
            "lead": [lead._asdict() for lead in leads], "lead_summary": summary(leads),
            "beside_rldoctor": beside or before.get("beside_rldoctor"),
        })  # fmt: skip
    if options.figures:
        for name, (failing, twins) in seen.items():
            draw_exhibit(failing[0].exhibit, failing, twins, options.figures / f"{name}.svg")
    held = whole["recall"] >= LEAST_RECALL and whole["false_alarm_rate"] <= MOST_ALARMS
    return 0 if held else 1


def peer_counts(peer: str, seen: dict[str, tuple[list[Seen], list[Seen]]]) -> dict[str, Any]:
    """rldoctor on the same runs, each log written out under the names that it reads."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from experiments.doctor_beside_rldoctor import STANDS_FOR, ask, written

    failing = [one for runs, _ in seen.values() for one in runs if not one.exhibit.fine]
    twins = list({one.folder: one for _, runs in seen.values() for one in runs}.values())
    with tempfile.TemporaryDirectory() as folder:
        paths = written(Path(folder), [one.log.run for one in (*failing, *twins)])
        version, told = ask(peer, paths)
    rights = [
        bool(set(STANDS_FOR.get(said.first, (said.first,))) & set(one.exhibit.findings))
        for one, said in zip(failing, told, strict=False)
    ]
    figures = {
        "version": version, "failing": len(failing), "recognised": sum(rights),
        "ours": sum(one.recognised for one in failing), "healthy": len(twins),
        "healthy_with_alarm": sum(bool(said.alarms) for said in told[len(failing) :]),
        "ours_with_alarm": sum(bool(one.alarms) for one in twins),
        "unreadable": sum(said.failure is not None for said in told),
        "by_exhibit": {
            name: sum(right for one, right in zip(failing, rights, strict=True) if one.exhibit.name == name)
            for name in {one.exhibit.name: None for one in failing}
        },
    }  # fmt: skip
    print(f"rldoctor {version}: {figures}")
    return figures


if __name__ == "__main__":
    sys.exit(main())
