"""`boresight launch torchrun`: a pipeline by several processes of this machine, or of several."""

import os
import sys
from typing import Annotated

import typer

from boresight.cli.run_options import AsJson, Check, From, Only, Out, Overrides, PipelineFile, Quick, tell

Processes = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Processes on this machine.  [default: one for each GPU; 1 without]"),
]
Nodes = Annotated[str, typer.Option(metavar="N|MIN:MAX", help="Machines; each runs this same command.")]
Rendezvous = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Where machines meet: one of them, and a free port of it.")
]
MaxRestarts = Annotated[
    int, typer.Option(min=0, metavar="K", help="How often all start again, from the last checkpoint, after a death.")
]
JoinWithin = Annotated[
    int, typer.Option(min=1, metavar="SECONDS", help="How long machines and processes wait for each other.")
]


def torchrun(
    pipeline: PipelineFile,
    processes: Processes = None,
    nodes: Nodes = "1",
    rendezvous: Rendezvous = None,
    max_restarts: MaxRestarts = 3,
    join_within: JoinWithin = 600,
    only: Only = None,
    start: From = None,
    overrides: Overrides = None,
    out: Out = None,
    quick: Quick = False,
    check: Check = True,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline file by several processes.

    torch's elastic launcher starts them. They share every batch and the weights of the stages that docs/scale.md
    names; the first builds all others while the rest wait. When one dies, all start again from the last checkpoint. A
    mistake of file or data, and a gate that does not hold, end the run at once, told once, with exit code 2 or 1.
    128 + N: signal N ended this command, or its processes too often. 75: other machines did not come, or are gone. The
    run folder is that of `boresight run`; all machines must see it, and the data, under the same names.

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

    layout = Layout(
        processes=processes or processes_here(lambda line: print(line, file=sys.stderr)),
        nodes=nodes_of(nodes),
        rendezvous=rendezvous,
        restarts=max_restarts,
        join_within=join_within,
    )
    loaded = load_pipeline(pipeline, overrides=overrides or (), quick=quick)
    folder = out or default_folder(loaded.name, quick)
    build = TorchrunRun(layout=layout)
    build.refuse(loaded, only, start)  # before data are looked at
    try:
        done = run(loaded, out=folder, only=only, start=start, check_first=check, build=build, shared_by=layout.least)
    except EndedError as ended:
        print(f"{ended.label}: {ended}", file=sys.stderr)
        raise typer.Exit(ended.exit_code) from None
    tell(done, as_json)
