"""`boresight demo`: the embedded example, from text files to a gated comparison."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def command(
    quick: Annotated[
        bool, typer.Option("--quick", help="A smoke test of a minute: every stage, hardly trained.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the run.  [default: runs/NAME]")] = None,
) -> None:
    """Run the embedded example end to end and report on it.

    On one CPU core and without network: a small base model is trained from text, fine-tuned on demonstrations with
    faults in them, and aligned with preferences against these faults by PPO, DPO and ORPO; a blind comparison on
    held-out prompts and a gate end it. The path of the report is printed last. Interrupted, the same command goes
    on.

    The exit code is 1 where the gate does not hold. With --quick the gate is told, but decides nothing: a few steps
    teach nothing.

    \b
    Example:
      boresight demo
      boresight chat runs/kube-assistant/stages/ppo
    """
    from boresight.api.running import run
    from boresight.pipeline.examples import PIPELINE_FILE, find_example

    if quick:
        print(
            "a smoke test: after so few steps no model is good, findings on the way are to be expected, and the gate "
            "decides nothing",
            file=sys.stderr,
        )
    done = run(find_example() / PIPELINE_FILE, out=out, quick=quick)
    print(f"{done}\n{done.report}")
    if not done.passed and not quick:
        raise typer.Exit(1)
