"""A run as the verbs `run` and `demo` do it: check, build, report, and say what came of it."""

import json
import sys
from pathlib import Path

from boresight.cli.checking import check
from boresight.cli.faults import RefusedError
from boresight.cli.summary import as_json, text_of
from boresight.config.pipeline import Pipeline
from boresight.errors import ConfigError
from boresight.pipeline.report import write_report
from boresight.pipeline.run import Outcome, run_pipeline
from boresight.training.processes import ALONE, Processes


def run_and_report(
    pipeline: Pipeline,
    out: Path,
    *,
    only: str | None = None,
    start: str | None = None,
    check_first: bool = True,
    json_wanted: bool = False,
    processes: Processes = ALONE,
) -> Outcome:
    """Raises an error of ours where the check finds one or a stage stops; the path of the report is printed last.

    Of several `processes` this is the first.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; expected a folder for the run. Choose another name.")
    if check_first:
        _check_first(pipeline, only)
    outcome = run_pipeline(pipeline, out, only=only, start=start, processes=processes)
    report = write_report(out)
    if json_wanted:
        print(json.dumps(as_json(pipeline, outcome, report), ensure_ascii=False))
    else:
        print(text_of(pipeline, outcome))
        print(report)
    return outcome


def _check_first(pipeline: Pipeline, only: str | None) -> None:
    """Tell warnings on stderr; refuse what a check calls an error, before anything is written."""
    print(f"checking {pipeline.path}", file=sys.stderr)
    done = check(pipeline)
    for finding in done.findings:
        if finding.severity == "warning":
            stage = f"{finding.stage}: " if finding.stage else ""
            print(f"warning: {stage}{finding.message}", file=sys.stderr)
    errors = done.errors(None if only is None else [only])
    if errors:
        raise RefusedError(errors)
