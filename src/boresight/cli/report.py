"""`boresight report`: the page of a run, or of two runs side by side."""

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, finished or not.")],
    second: Annotated[
        Path | None, typer.Argument(metavar="[SECOND]", help="Another run, held against the first.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where the page of two runs is written.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the report of a run, or of two runs side by side.

    One self-contained HTML page: verdict, what each stage did, curves, examples side by side, data, and the lineage by
    hash. `boresight run` writes it at its end; this writes it again, or for a run that is still going on, and prints
    its path.

    Of two runs: both verdicts, figures with their differences (win rates on the same prompts with an interval), curves
    in one frame, and what was set or read differently. It is written into the second run's folder.

    \b
    Example:
      boresight report runs/kube-assistant
      boresight report runs/kube-assistant runs/kube-assistant-2
    """
    from boresight.api.reporting import report

    done = report(run, second, out=out)
    print(json.dumps(done.to_dict(), ensure_ascii=False) if as_json else done)
