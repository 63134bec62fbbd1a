"""`boresight launch torchrun`: a pipeline by several processes of this machine, or of several."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from boresight.cli.completing import pipeline_files, stage_names


def torchrun(
    pipeline: Annotated[Path, typer.Argument(metavar="PIPELINE", help="Pipeline file.", autocompletion=pipeline_files)],
    processes: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes on this machine.  [default: one for each GPU; 1 without]"),
    ] = None,
    nodes: Annotated[str, typer.Option(metavar="N|MIN:MAX", help="Machines; each runs this same command.")] = "1",
    rendezvous: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where machines meet: one of them, and a free port of it.")
    ] = None,
    max_restarts: Annotated[
        int,
        typer.Option(min=0, metavar="K", help="How often all start again, from the last checkpoint, after a death."),
    ] = 3,
    join_within: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="How long machines and processes wait for each other.")
    ] = 600,
    only: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Run this stage alone.", autocompletion=stage_names)
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STAGE",
            help="Build this stage anew, and all that rest on it.",
            autocompletion=stage_names,
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be given often.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the run.  [default: runs/NAME]")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A smoke test: apply the file's quick section, into runs/NAME-quick.")
    ] = False,
    check: Annotated[bool, typer.Option(help="Look for mistakes before anything is started.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a pipeline file by several processes.

    torch's elastic launcher starts them. They share every batch and the weights of the stages that docs/scale.md
    names; the first builds all others while the rest wait. When one dies, all start again from the last checkpoint. A
    mistake of file or data, and a gate that does not hold, end the run at once, told once, with exit code 2 or 1.
    128 + N: signal N ended this command, or its processes too often. The run folder is that of `boresight run`; all
    machines must see it, and the data, under the same names.

    \b
    Example:
      boresight launch torchrun pipeline.yaml --processes 2
      boresight launch torchrun pipeline.yaml --nodes 1:4 --rendezvous node0:29500   # the same on each machine
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # before torch is loaded; its faults are told by us
    from boresight.api.pipelines import load_pipeline
    from boresight.api.running import default_folder, run
    from boresight.launch.torchrun.layout import Layout, nodes_of, processes_here
    from boresight.launch.torchrun.reports import EndedError
    from boresight.launch.torchrun.run import TorchrunRun

    loaded = load_pipeline(pipeline, overrides=overrides or (), quick=quick)
    layout = Layout(
        processes=processes or processes_here(lambda line: print(line, file=sys.stderr)),
        nodes=nodes_of(nodes),
        rendezvous=rendezvous,
        restarts=max_restarts,
        join_within=join_within,
    )
    try:
        done = run(
            loaded,
            out=out or default_folder(loaded.name, quick),
            only=only,
            start=start,
            check_first=check,
            build=TorchrunRun(layout=layout),
        )
    except EndedError as ended:
        print(f"{ended.label}: {ended}", file=sys.stderr)
        raise typer.Exit(ended.exit_code) from None
    print(json.dumps(done.to_dict(), ensure_ascii=False) if as_json else f"{done}\n{done.report}")
    if not done.passed:
        raise typer.Exit(1)
