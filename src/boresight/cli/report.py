"""`boresight report`: the page of a run."""

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, finished or not.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the report of a run: one self-contained HTML page.

    Verdict, what each stage did, curves, examples side by side, data, and the lineage by hash. `boresight run` writes
    it at its end; this writes it again, or for a run that is still going on, and prints its path.

    \b
    Example:
      boresight report runs/kube-assistant
    """
    from boresight.pipeline.report import write_report

    path = write_report(run)
    print(json.dumps({"report": str(path)}) if as_json else path)
