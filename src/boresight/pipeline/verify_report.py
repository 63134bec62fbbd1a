"""A cure that was tried, beside the run that needed it: text, JSON and a picture of both curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from boresight.diagnosis.diagnose import diagnose
from boresight.diagnosis.rules.cures import CURES, shown_signal
from boresight.diagnosis.signals import LoggedRun
from boresight.pipeline.verify import Trial
from boresight.storage import write_atomically, write_json

CURVES = {
    "ppo": ("reward/score", "policy/kl_to_reference", "policy/entropy"),
    "rloo": ("reward/score", "policy/kl_to_reference", "policy/entropy"),
    "dpo": ("loss/total", "reward/margin", "reward/accuracy"),
}
ROWS = 6
VERDICTS = {
    "cured": "cured: with the change it is no longer found",
    "not cured": "not cured: it is found with the change as well",
    "not shown": "not shown: in so few steps the stage itself does not show it either; give more --steps",
}


def signals_of(trial: Trial) -> list[str]:
    """The signal on which the cure is to be seen, then the usual ones, of those that both have logged."""
    wanted = dict.fromkeys([shown_signal(CURES[trial.finding], trial.kind), *CURVES[trial.kind]])
    return [name for name in wanted if trial.before.get(name) is not None and trial.after.get(name) is not None]


def as_object(trial: Trial) -> dict[str, Any]:
    """A trial of a cure for `--json`."""
    return {
        "stage": trial.stage, "finding": trial.finding, "cure": trial.words, "outcome": trial.outcome,
        "changes": {name: {"from": old, "to": new} for name, (old, new) in trial.changes.items()},
        "began_at": trial.began_at, "steps": trial.steps, "folder": str(trial.folder),
        "findings_before": _found(trial.before), "findings_after": _found(trial.after),
        "curves": {
            name: {
                which: [[step, value] for step, value in _points(run, name)]
                for which, run in (("before", trial.before), ("after", trial.after))
            }
            for name in signals_of(trial)
        },
    }  # fmt: skip


def as_text(trial: Trial) -> str:
    """The change, both curves at some steps, and what came of it."""
    changes = ", ".join(f"{name} {old} → {new}" for name, (old, new) in trial.changes.items())
    where = "the start" if trial.began_at == 0 else f"the checkpoint of step {trial.began_at}"
    lines = [
        f"{trial.stage}: {trial.finding}, tried: {trial.words}",
        f"  {changes}; {trial.steps} steps from {where}",
        "",
    ]
    for name in signals_of(trial):
        before, after = _points(trial.before, name), dict(_points(trial.after, name))
        shown = [before[int(i)] for i in np.unique(np.linspace(0, len(before) - 1, ROWS).astype(int))]
        lines.append(f"  {name}")
        lines.append("    step      " + "".join(f"{step:>10g}" for step, _ in shown))
        lines.append("    before    " + "".join(f"{value:>10.4g}" for _, value in shown))
        lines.append("    changed   " + "".join(f"{_cell(after.get(step)):>10}" for step, _ in shown))
    lines += ["", f"  {VERDICTS[trial.outcome]}.", f"  Log and picture: {trial.folder}"]
    return "\n".join(lines)


def save(trial: Trial) -> None:
    """comparison.json and comparison.svg in the trial's folder."""
    write_json(trial.folder / "comparison.json", as_object(trial))
    write_atomically(trial.folder / "comparison.svg", lambda path: _draw(trial, signals_of(trial), path))


def _draw(trial: Trial, names: Sequence[str], path: Path) -> None:
    with rc_context({"svg.hashsalt": f"{trial.stage}-{trial.finding}", "font.size": 9, "svg.fonttype": "none"}):
        figure = Figure(figsize=(3.2 * max(len(names), 1), 2.6))
        for axes, name in zip(figure.subplots(1, max(len(names), 1), squeeze=False)[0], names, strict=True):
            for run, label, colour in ((trial.before, "before", "#c0392b"), (trial.after, "changed", "#2d6cb5")):
                points = _points(run, name)
                axes.plot([step for step, _ in points], [value for _, value in points], color=colour, label=label)
            if trial.began_at:
                axes.axvline(trial.began_at, color="#888888", linestyle=":")
            axes.set(title=name, xlabel="step")
            axes.spines[["top", "right"]].set_visible(False)
        figure.axes[0].legend(frameon=False)
        figure.tight_layout()
        figure.savefig(path, format="svg", metadata={"Date": None})


def _points(run: LoggedRun, name: str) -> list[tuple[float, float]]:
    series = run.get(name)
    return [] if series is None else list(zip(series.steps.tolist(), series.values.tolist(), strict=True))


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _found(run: LoggedRun) -> list[dict[str, str]]:
    return [{"id": one.id, "severity": one.severity, "cause": one.cause} for one in diagnose(run).findings]
