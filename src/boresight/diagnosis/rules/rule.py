"""What a rule is and what it finds. Rules are pure: a run goes in, a finding or nothing comes out."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from boresight.diagnosis.responses import Sample
from boresight.diagnosis.signals import Evidence, LoggedRun, Series

Severity = Literal["note", "warning", "error"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""The gravest first."""


class Finding(NamedTuple):
    """One thing found. `cause` says what was seen and why it happens, `action` what to do, `reference` who says so;
    `examples` are responses that show it, where the run keeps any."""

    id: str
    severity: Severity
    cause: str
    evidence: tuple[Evidence, ...]
    action: str
    reference: str
    examples: tuple[Sample, ...] = ()


class Rule(NamedTuple):
    """When it looks (`methods`, empty for all; one signal of each group in `needs`), and what it looks for."""

    id: str
    looks_for: str
    """For the table of the documentation: when it fires."""
    check: Callable[[LoggedRun], Finding | None]
    needs: tuple[tuple[str, ...], ...]
    methods: tuple[str, ...] = ()

    def applies(self, run: LoggedRun) -> bool:
        """Whether the rule is made for the run's method."""
        return not self.methods or run.method in self.methods

    def missing(self, run: LoggedRun) -> tuple[str, ...]:
        """The first name of each group of which the run has no signal."""
        return tuple(group[0] for group in self.needs if not any(name in run.signals for name in group))


def evidence(*series: Series | None) -> tuple[Evidence, ...]:
    """Evidence from each series that the run has, in order."""
    return tuple(one.evidence() for one in series if one is not None)
