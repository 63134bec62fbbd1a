"""`report`: the page of a run, or of two runs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boresight.api.faults import public
from boresight.api.result import Result
from boresight.api.runs import Run
from boresight.errors import ConfigError
from boresight.pipeline.report import write_report
from boresight.pipeline.run_comparison import write_comparison
from boresight.tables import Block


@dataclass(frozen=True, repr=False)
class Report(Result):
    """The page that was written: one self-contained HTML file."""

    path: Path

    def to_dict(self) -> dict[str, Any]:
        return {"report": str(self.path)}

    def blocks(self) -> Sequence[Block]:
        return [str(self.path)]


@public
def report(run: str | Path | Run, second: str | Path | Run | None = None, *, out: str | Path | None = None) -> Report:
    """Write the page of a run, or of two runs side by side, and hand back where it is.

    Of one run it lies in the run's folder; of two in the second's, or at `out`. Rates on it have 95 % intervals over
    prompts (docs/evaluation.md).

    Raises DataError where a folder is no run, StorageError where the page cannot be written. ConfigError for `out` with
    one run.
    """
    if second is not None:
        return Report(write_comparison(_folder(run), _folder(second), None if out is None else Path(out)))
    if out is not None:
        raise ConfigError("--out: is for two runs; the report of one run lies in its folder")
    return Report(write_report(_folder(run)))


def _folder(run: str | Path | Run) -> Path:
    return run.folder if isinstance(run, Run) else Path(run)
