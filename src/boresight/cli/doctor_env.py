"""`boresight doctor-env`: what there is to work with, and what is missing."""

import json
from typing import Annotated

import typer


def command(
    devices: Annotated[
        bool, typer.Option(help="Ask torch what it can compute on; takes as long as torch takes to load.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Versions, devices, and what each extra lacks.

    Python, packages, processor, GPUs and whether they have bfloat16, free memory and disk, and for each extra what is
    missing with the line that brings it. Nothing is imported: torch is asked in a process of its own, and --no-devices
    leaves that out. Exit code 1: something that every installation needs is missing or out of range; an extra that is
    not installed is none.

    \b
    Example:
      boresight doctor-env
      boresight doctor-env --no-devices --json
    """
    from boresight.api.environment import doctor_env

    done = doctor_env(devices=devices)
    print(json.dumps(done.to_dict(), ensure_ascii=False) if as_json else done)
    if not done.ready:
        raise typer.Exit(1)
