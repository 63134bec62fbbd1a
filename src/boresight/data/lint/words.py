"""A lint as text for people and as the object of the contract."""

from typing import Any

from boresight.data.lint.run import Lint
from boresight.data.wording import counted, percent


def as_object(done: Lint) -> dict[str, Any]:
    """The keys of `boresight data lint --json`."""
    return {
        "rows": len(done.ids),
        "splits": done.splits,
        "passed": done.passed,
        "findings": [finding.as_json() for finding in done.findings],
    }


def as_text(done: Lint) -> str:
    """Each finding with its message, examples and advice, then what it comes to."""
    lines = [f"{name}: {counted(rows, 'row')}" for name, rows in done.splits.items()]
    for finding in done.findings:
        share = f"{finding.count:,} of {finding.of:,} ({percent(finding.share)})"
        lines += ["", f"{finding.severity:<7}  {finding.id}  {share}", f"  {finding.message}"]
        if finding.examples:
            lines.append(f"  such as {', '.join(finding.examples)}")
        if finding.severity != "note":
            lines.append(f"  {finding.advice}")
    counts = {severity: sum(f.severity == severity for f in done.findings) for severity in ("error", "warning", "note")}
    return "\n".join([*lines, "", ", ".join(counted(count, severity) for severity, count in counts.items())])
