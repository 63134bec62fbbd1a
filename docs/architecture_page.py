"""The page on architecture, with the drawing of the floors: both from the layer table that a test holds."""

import ast
import html
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
DRAWING = "figures/layers.svg"

ROOMS = {
    "errors": "one exception family; every message says what to do",
    "storage": "atomic writes, hashes, JSON",
    "objectives": "losses and advantages: pure functions of tensors, torch alone",
    "stats": "intervals, agreement, ratings, calibration: numpy alone",
    "records": "messages, pairs, rankings, judgements: frozen data",
    "config": "a pipeline file, read and checked before anything else is loaded",
    "runlog": "the table of metrics; the log of a run, appended and read",
    "data": "readers of every form, lint, filters, splits, tokens and masks",
    "models": "loading, adapters, roles, packed rows, the decoder",
    "diagnosis": "logs into signals, rules into findings",
    "planning": "memory, time, money and what fits",
    "migration": "configs of other tools into a pipeline file, every key accounted for",
    "trackers": "TensorBoard, W&B, MLflow and trackio, which follow a run's log",
    "feedback": "judges, rubrics, calibration, routing, labels of people",
    "training": "one readable loop a method; step, rollout, checkpoint",
    "evaluation": "win rates, certificates, probes, the gate",
    "pipeline": "stages, artifacts, resume, check, report",
    "launch": "torchrun, clusters, manifests",
    "web": "one look and one security for monitor, annotation and reward service",
    "cli": "verbs: parse, call, print",
    "tables": "tables and texts, before it is known where they are shown",
    "environment": "versions, devices, memory, and what each extra lacks",
    "api": "the functions behind the command, for notebooks and programs",
    "__init__": "`import boresight as bs`: the names of `api`, loaded when they are used",
    "__main__": "`python -m boresight`",
}


def floors() -> dict[str, int]:
    """FLOORS of tests/test_layout.py, read and not run."""
    tree = ast.parse((ROOT / "tests" / "test_layout.py").read_text(encoding="utf-8"))
    (value,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "FLOORS"
    )
    found: Any = ast.literal_eval(value)
    return dict(found)


def architecture_page() -> str:
    by_floor = _by_floor()
    rows = [
        f"| {floor} | `{room}` | {ROOMS[room]} |"
        for floor, rooms in sorted(by_floor.items(), reverse=True)
        for room in rooms
    ]
    return "\n".join(
        [
            "# Architecture",
            "",
            "Made by `docs/generate.py` from the layer table in `tests/test_layout.py`. Imports run downwards",
            "only: a file uses its own folder and any floor below. The test reads the imports of every file and holds",
            "them against the table, so the drawing stays true.",
            "",
            f"![The floors of the package](../{DRAWING})",
            "",
            "| floor | room | what is in it |",
            "|---|---|---|",
            *rows,
            "",
            "- **An objective is a pure function**: tensors in, one value a token or pair out. No module,",
            "  no config, no device, no logging. It is reduced in one place, `training/step.py`, by the count of the",
            "  whole global batch.",
            "- **A loop is one function**, in the order of the paper's pseudocode. What is trained and what is",
            "  frozen is told by the types of its roles; a frozen one cannot reach an optimizer.",
            "- **Scale-out stands outside**: sharding, adapters and profiling add no branches to a loop.",
            "- **Checking, planning, labelling and diagnosing load no torch.** A test imports those rooms and looks.",
            "- **A stage makes one artifact**: a folder with its result, its resolved config, its log and a manifest",
            "  of hashes. What hashes to an artifact already made is not made again.",
            "",
            "How to add an objective, a rule, a data format or a stage: [adding a part](adding.md). Why things are as",
            "they are: [decisions](../decisions/index.md).",
            "",
        ]
    )


def layers_drawing() -> str:
    """The floors from the highest down, a box a room; colours that can be read on light and on dark ground."""
    by_floor = _by_floor()
    height, width = 56, 760
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height * len(by_floor) + 10}" role="img" '
        'font-family="system-ui, sans-serif" font-size="14">',
        "<title>The floors of the package, imports run downwards only</title>",
    ]
    for place, (floor, rooms) in enumerate(sorted(by_floor.items(), reverse=True)):
        top = place * height + 5
        parts.append(f'<text x="14" y="{top + 28}" fill="#808080">{floor}</text>')
        box = (width - 50) / len(rooms)
        for number, room in enumerate(rooms):
            left = 40 + number * box
            parts.append(
                f'<rect x="{left:.0f}" y="{top}" width="{box - 8:.0f}" height="{height - 12}" rx="6" fill="#0f766e"/>'
                f'<text x="{left + box / 2 - 4:.0f}" y="{top + 27}" fill="#ffffff" text-anchor="middle">'
                f"{html.escape(room)}</text>"
            )
    return "\n".join([*parts, "</svg>", ""])


def _by_floor() -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for room, floor in floors().items():
        found.setdefault(floor, []).append(room)
    return found


def decisions_page() -> str:
    """All decision notes by number, with their titles."""
    notes = sorted(note for note in (DOCS / "decisions").glob("[0-9]*.md"))
    rows = []
    for note in notes:
        number, _, title = note.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").partition(":")
        rows.append(f"| [{number}]({note.name}) | {title.strip()} |")
    return "\n".join(
        [
            "# Decisions",
            "",
            "Why things are as they are: a page each, written when it was decided. Missing numbers were not used.",
            "",
            "| | |",
            "|---|---|",
            *rows,
            "",
        ]
    )
