"""Arguments and options that are the same wherever a pipeline is run."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from boresight.cli.completing import pipeline_files, stage_names

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
