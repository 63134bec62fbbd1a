"""The rules that may speak while a run is under way."""

from boresight.diagnosis.diagnose import findings_of
from boresight.diagnosis.rules.rule import SEVERITIES, Finding
from boresight.diagnosis.signals import LoggedRun

WAITING = ("no_learning", "value_not_learning")
"""Findings that only a whole run allows: a reward may rise late, and a value model may start badly."""

KL_CURES = ("kl_runaway", "reward_hacking", "identical_outputs")
"""Findings against which a larger KL coefficient is prescribed first."""


def live_findings(run: LoggedRun) -> list[Finding]:
    """The alarms (nothing below a warning) of a run so far, the gravest first."""
    alarms = [finding for finding in findings_of(run) if finding.severity != "note" and finding.id not in WAITING]
    return sorted(alarms, key=lambda finding: SEVERITIES.index(finding.severity))
