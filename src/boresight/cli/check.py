"""`boresight check`: what is wrong before any computing is paid for."""

import json
from pathlib import Path
from typing import Annotated

import typer

from boresight.cli.completing import pipeline_files


def command(
    pipeline: Annotated[Path, typer.Argument(metavar="PIPELINE", help="Pipeline file.", autocompletion=pipeline_files)],
    graph: Annotated[bool, typer.Option("--graph", help="Draw the stages and what each takes from where.")] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be given often.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Check the run that the file's quick section makes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find what is wrong before any computing is paid for.

    Reads every data file with the settings of its stage, probes chat template and response mask, measures prompts and
    conversations against the context, looks for the classic mistakes (a policy that was never fine-tuned, a KL
    coefficient near 0, held-out prompts that were trained on, ...), and sets the memory of each stage against this
    machine. Nothing is written. Exit code 1: at least one error was found.

    \b
    Example:
      boresight check pipeline.yaml --graph
      boresight check pipeline.yaml --set stages.ppo.kl_coefficient=0 --json
    """
    from boresight.api.checking import check

    done = check(pipeline, overrides=overrides or (), quick=quick, graph=graph)
    print(json.dumps(done.to_dict(), ensure_ascii=False) if as_json else done)
    if not done.passed:
        raise typer.Exit(1)
