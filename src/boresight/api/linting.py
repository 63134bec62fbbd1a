"""`lint`: what is wrong with preference pairs or demonstrations. This module loads no torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boresight.api.faults import public
from boresight.api.result import Result
from boresight.data.lint.finding import Finding
from boresight.data.lint.run import Lint
from boresight.data.lint.run import lint as look
from boresight.data.lint.sources import read_all_prompts, read_splits
from boresight.data.lint.words import as_object, as_text
from boresight.data.wording import counted, percent
from boresight.tables import Block, Table

Paths = Sequence[str | Path]


@dataclass(frozen=True, repr=False)
class LintResult(Result):
    """Findings, gravest first; `report` is the page that was written, if any."""

    done: Lint
    report: Path | None = None

    @property
    def passed(self) -> bool:
        """No finding is an error."""
        return self.done.passed

    @property
    def findings(self) -> Sequence[Finding]:
        return self.done.findings

    def to_dict(self) -> dict[str, Any]:
        return as_object(self.done) | ({} if self.report is None else {"report": str(self.report)})

    def __str__(self) -> str:
        return as_text(self.done) + ("" if self.report is None else f"\n{self.report}")

    def blocks(self) -> Sequence[Block]:
        rows = [
            [one.severity, one.id, f"{one.count:,} of {one.of:,} ({percent(one.share)})", one.message,
             "" if one.severity == "note" else one.advice, ", ".join(one.examples)]
            for one in self.findings
        ]  # fmt: skip
        splits = ", ".join(f"{name}: {counted(rows_of, 'row')}" for name, rows_of in self.done.splits.items())
        return [splits, Table([["severity", "finding", "rows", "what", "what to do", "such as"], *rows])]


@public
def lint(
    *files: str | Path,
    evaluation: Paths = (),
    prompts: Paths = (),
    columns: Mapping[str, str] | None = None,
    report: str | Path | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> LintResult:
    """Find what is wrong with preference pairs or demonstrations, in one pass.

    Several files are splits of one set: what stands in two of them is told. `evaluation`: files of prompts that must
    not be trained on; `prompts`: those that a policy will be rewarded on. `columns`: part of a pair -> name of its
    column. `report`: where a page with plots is written. `progress` is told the number of rows now and then. Counts are
    of rows, shares between 0 and 1, lengths in words; docs/lint.md lists the findings.

    Raises DataError with file and line for rows that cannot be read, and where there is no row at all.
    """
    splits = read_splits([Path(file) for file in files], columns)
    held_out, rewarded = (read_all_prompts([Path(file) for file in group]) for group in (evaluation, prompts))
    if report is None:
        return LintResult(look(splits, evaluation=held_out, prompts=rewarded, progress=progress))
    from boresight.pipeline.data_report import lint_with_report

    page = Path(report)
    return LintResult(lint_with_report(splits, page, evaluation=held_out, prompts=rewarded, progress=progress), page)
