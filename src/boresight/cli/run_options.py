"""What is the same wherever a pipeline is run: arguments and options, and how its end is told."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from boresight.cli.completing import pipeline_files, stage_names

if TYPE_CHECKING:
    from boresight.api.runs import Run

FROM_HELP = "Build this stage anew, and all that rest on it."

PipelineFile = Annotated[Path, Argument(metavar="PIPELINE", help="Pipeline file.", autocompletion=pipeline_files)]
Only = Annotated[str | None, Option(metavar="STAGE", help="Run this stage alone.", autocompletion=stage_names)]
From = Annotated[str | None, Option("--from", metavar="STAGE", help=FROM_HELP, autocompletion=stage_names)]
Overrides = Annotated[
    list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change one setting; may be given often.")
]
Out = Annotated[Path | None, Option(metavar="DIR", help="Folder of the run.  [default: runs/NAME]")]
Quick = Annotated[bool, Option("--quick", help="A smoke test: apply the file's quick section, into runs/NAME-quick.")]
Check = Annotated[bool, Option(help="Look for mistakes before the first stage.")]
AsJson = Annotated[bool, Option("--json", help="Print one JSON object.")]


def tell(done: "Run", as_json: bool) -> None:
    """What the run came to, on stdout; exit code 1 where a gate does not hold."""
    print(json.dumps(done.to_dict(), ensure_ascii=False) if as_json else f"{done}\n{done.report}")
    if not done.passed:
        raise Exit(1)
