"""`diagnose`: what ails a run, from its log."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from boresight.api.faults import public
from boresight.api.result import Result
from boresight.diagnosis.diagnose import Diagnosis
from boresight.diagnosis.diagnose import diagnose as apply_rules
from boresight.diagnosis.readers.folders import Log, read_logs
from boresight.diagnosis.rules.rule import Finding
from boresight.diagnosis.words import as_object, as_text, worst
from boresight.tables import Block, Table

HEADS = ("log", "severity", "finding", "cause", "what to do")


@dataclass(frozen=True, repr=False)
class Diagnosed(Result):
    """A diagnosis for each log; verdict and findings are those of the gravest."""

    logs: Sequence[Log]
    diagnoses: Sequence[Diagnosis]

    @property
    def gravest(self) -> int:
        """Place of the gravest log, the first of several."""
        return worst(list(self.diagnoses))

    @property
    def verdict(self) -> str:
        """healthy, warning, failing, or unclear where the log does not hold enough evidence."""
        return self.diagnoses[self.gravest].verdict

    @property
    def findings(self) -> Sequence[Finding]:
        return self.diagnoses[self.gravest].findings

    def to_dict(self) -> dict[str, Any]:
        objects = [as_object(log, found) for log, found in zip(self.logs, self.diagnoses, strict=True)]
        return {**objects[self.gravest], **({"logs": objects} if len(objects) > 1 else {})}

    def __str__(self) -> str:
        return "\n\n".join(as_text(log, found) for log, found in zip(self.logs, self.diagnoses, strict=True))

    def blocks(self) -> Sequence[Block]:
        """The verdict of each log, then a row for each finding; `str()` tells more, with the evidence."""
        pairs = list(zip(self.logs, self.diagnoses, strict=True))
        verdicts = [f"{log.name}: {found.verdict} ({log.run.method}, {log.run.steps:,} steps)" for log, found in pairs]
        rows = [
            [log.name, finding.severity, finding.id, finding.cause, finding.action]
            for log, found in pairs
            for finding in found.findings
        ]
        told = [found.explanation for found in self.diagnoses if found.explanation]
        return ["\n".join(verdicts), Table([list(HEADS), *rows]), *told]

    def pictures(self) -> Sequence[Markup]:
        """The signals behind the findings of the gravest log."""
        from boresight.api.signal_charts import signal_chart

        chart = signal_chart(self.logs[self.gravest], self.findings)
        return [] if chart is None else [chart.wide]


@public
def diagnose(*logs: str | Path) -> Diagnosed:
    """Find out what is wrong with a run, from its log: the cause, the evidence and what to do.

    Each of `logs` is the folder of a run or stage of ours, or a log of TRL, LLaMA-Factory, OpenRLHF, verl, trlX and
    others (docs/doctor.md). Signals are in the units of docs/metrics.md: KL in nats, lengths in tokens. Sources of the
    rules: docs/findings.md.

    Raises DataError for what is absent, empty or holds no metrics.
    """
    found = [log for path in logs for log in read_logs(Path(path))]
    return Diagnosed(found, [apply_rules(log.run) for log in found])
