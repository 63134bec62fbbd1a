"""`boresight init`: a folder to start from."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
) -> None:
    """Write a pipeline file and example data to start from.

    The pipeline trains a small assistant for kubectl: a base model, demonstrations, preference pairs, a reward model,
    PPO, DPO and ORPO, a blind comparison and a gate. Put your own files in the place of those under data/, or point
    the stages at them.

    \b
    Example:
      boresight init my-assistant
      boresight check my-assistant/pipeline.yaml
      boresight run my-assistant/pipeline.yaml
    """
    from boresight.pipeline.examples import copy_example

    pipeline = copy_example(folder)
    files = sorted({p for stage in pipeline.stages for paths in pipeline.file_inputs(stage).values() for p in paths})
    print(f"{pipeline.path}  {len(pipeline.stages)} stages")
    for file in files:
        print(folder / file.relative_to(folder.resolve()))
    print(
        "\nNext: change the data and the pipeline to yours, then\n"
        f"  boresight check {pipeline.path} --graph\n"
        f"  boresight run {pipeline.path}"
    )
