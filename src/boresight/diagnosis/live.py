"""The rules that may speak while a run is under way."""

from collections.abc import Container
from dataclasses import replace

from boresight.diagnosis.diagnose import findings_of
from boresight.diagnosis.rules.rule import SEVERITIES, Finding
from boresight.diagnosis.signals import LoggedRun, Series

WAITING = ("no_learning", "value_not_learning")
"""Findings that only a whole run allows: a reward may rise late, and a value model may start badly."""

KL_CURES = ("kl_runaway", "reward_hacking", "identical_outputs")
"""Findings against which a larger KL coefficient is prescribed first."""


def live_findings(run: LoggedRun) -> list[Finding]:
    """The alarms (nothing below a warning) of a run so far, the gravest first."""
    alarms = [finding for finding in findings_of(run) if finding.severity != "note" and finding.id not in WAITING]
    return sorted(alarms, key=lambda finding: SEVERITIES.index(finding.severity))


FEWEST_STEPS = 8


def alarm_step(run: LoggedRun, wanted: Container[str]) -> int | None:
    """The step after which the rules, looking on after every step, first give one of these alarms."""
    for last in range(int(run.first_step) + FEWEST_STEPS, int(run.last_step) + 1):
        if any(finding.id in wanted for finding in live_findings(until(run, last))):
            return last
    return None


def until(run: LoggedRun, last: int) -> LoggedRun:
    """The run as it stood after a step."""
    signals = {name: cut for name, series in run.signals.items() if len(cut := _cut(series, last))}
    rows = max((len(series) for series in signals.values()), default=0)
    return replace(
        run, signals=signals, samples=tuple(sample for sample in run.samples if sample.step <= last), steps=rows,
        rows=rows, last_step=min(run.last_step, float(last)),
    )  # fmt: skip


def _cut(series: Series, last: int) -> Series:
    kept = series.steps <= last
    return Series(series.name, series.steps[kept], series.values[kept], series.source)
