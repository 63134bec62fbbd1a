"""`boresight launch ray`: a pipeline with the roles of its PPO and RLOO stages in actors of a Ray cluster."""

import os
from typing import Annotated

import typer

from boresight.cli.run_options import AsJson, Check, From, Only, Out, Overrides, PipelineFile, tell


def ray(
    pipeline: PipelineFile,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT|auto", help="Cluster; auto: this job's.  [default: one made here]")
    ] = None,
    trainers: Annotated[int, typer.Option(min=1, metavar="N", help="Trainers that divide batches and weights.")] = 1,
    rollouts: Annotated[int, typer.Option(min=1, metavar="N", help="Actors that write responses.")] = 1,
    scorers: Annotated[str, typer.Option(metavar="N|MIN:MAX", help="Actors that score; or replicas, as needed.")] = "1",
    cpus: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="N", help="Processors of each actor.  [default: 1; without --address a share]"),
    ] = None,
    gpus: Annotated[float, typer.Option(min=0.0, metavar="N", help="GPUs of each actor.")] = 0.0,
    only: Only = None,
    start: From = None,
    overrides: Overrides = None,
    out: Out = None,
    check: Check = True,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline file on Ray.

    The policy's responses, their scores and the reference are computed by actors of their own, beside the trainer; all
    are placed together or refused with what is missing. An actor that dies is started anew and the step is done again.
    The run folder is that of `boresight run`, and all nodes must see it under the same name.

    \b
    Example:
      boresight launch ray pipeline.yaml --rollouts 2
      boresight launch ray pipeline.yaml --address 10.0.0.1:6379 --trainers 2 --rollouts 8 --gpus 1
      boresight launch ray pipeline.yaml --address 10.0.0.1:6379 --rollouts 8 --scorers 1:4
    """
    from boresight.api.pipelines import load_pipeline
    from boresight.api.running import run
    from boresight.errors import ConfigError

    try:
        from boresight.launch.ray.layout import layout_of
        from boresight.launch.ray.run import RayRun
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "ray":
            raise
        raise ConfigError("launch ray: Ray is not installed; pip install 'boresight[dist]'") from error
    here = (os.cpu_count() or 1) if address is None else None
    layout = layout_of(trainers=trainers, rollouts=rollouts, scorers=scorers, cpus=cpus, gpus=gpus, processors=here)
    loaded = load_pipeline(pipeline, overrides=overrides or ())
    build = RayRun(layout=layout, address=address)
    build.refuse(loaded, only)  # before data are looked at
    done = run(loaded, out=out, only=only, start=start, check_first=check, build=build, shared_by=trainers)
    tell(done, as_json)
