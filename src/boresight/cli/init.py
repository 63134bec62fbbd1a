"""`boresight init`: a folder to start from, with the embedded example or with the settings of another tool."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.data.wording import counted

if TYPE_CHECKING:
    from boresight.migration.translation import Translation


class Method(StrEnum):
    sft = "sft"
    reward = "reward"
    dpo = "dpo"
    orpo = "orpo"
    kto = "kto"


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    from_trl: Annotated[
        Path | None, typer.Option("--from-trl", metavar="CONFIG", help="Translate a config of TRL's commands.")
    ] = None,
    from_llamafactory: Annotated[
        Path | None, typer.Option("--from-llamafactory", metavar="CONFIG", help="Translate one of LLaMA-Factory.")
    ] = None,
    from_axolotl: Annotated[
        Path | None, typer.Option("--from-axolotl", metavar="CONFIG", help="Translate one of Axolotl.")
    ] = None,
    method: Annotated[
        Method | None, typer.Option(help="With --from-trl: the command that the config is for, if nothing in it tells.")
    ] = None,
) -> None:
    """Write a pipeline file and example data to start from.

    The pipeline trains a small assistant for kubectl: a base model, demonstrations, preference pairs, a reward model,
    PPO, DPO and ORPO, a blind comparison and a gate. Put your own files in the place of those under data/, or point
    the stages at them. With --from-... the pipeline file is made from another tool's settings instead: what has a
    counterpart is written, with that tool's defaults, and all else is named here and in the file, with the reason.

    \b
    Example:
      boresight init my-assistant
      boresight check my-assistant/pipeline.yaml
      boresight run my-assistant/pipeline.yaml
      boresight init moved --from-trl dpo.yaml --method dpo
    """
    from boresight.errors import ConfigError

    given = [path for path in (from_trl, from_llamafactory, from_axolotl) if path is not None]
    if len(given) > 1:
        raise ConfigError("--from-trl, --from-llamafactory, --from-axolotl: more than one is given; expected one")
    if method is not None and from_trl is None:
        raise ConfigError("--method: is for --from-trl alone; the other tools' configs say what they are for")
    if not given:
        _example(folder)
        return
    from boresight.migration.axolotl import from_axolotl as read_axolotl
    from boresight.migration.llama_factory import from_llama_factory
    from boresight.migration.trl import from_trl as read_trl
    from boresight.migration.written import write_translation

    if from_trl is not None:
        found = read_trl(from_trl, folder, method.value if method else None)
    else:
        found = read_axolotl(given[0], folder) if from_axolotl is not None else from_llama_factory(given[0], folder)
    _tell(found, write_translation(found, folder))


def _example(folder: Path) -> None:
    from boresight.pipeline.examples import copy_example

    pipeline = copy_example(folder)
    files = sorted({p for stage in pipeline.stages for paths in pipeline.file_inputs(stage).values() for p in paths})
    print(f"{pipeline.path}  {counted(len(pipeline.stages), 'stage')}")
    for file in files:
        print(folder / file.relative_to(folder.resolve()))
    print(
        "\nNext: change the data and the pipeline to yours, then\n"
        f"  boresight check {pipeline.path} --graph\n"
        f"  boresight run {pipeline.path}"
    )


def _tell(found: "Translation", path: Path) -> None:
    stages = found.sections["stages"]
    settings = counted(len(found.translated), "setting")
    print(f"{path}  {counted(len(stages), 'stage')} ({', '.join(stages)}), {settings} translated")
    for title, items in (
        ("without a counterpart, or with a near one alone:", [str(named) for named in found.named]),
        ("differences that no setting tells of:", found.assumed),
    ):
        if items:
            print(f"{found.source}: {title}", file=sys.stderr)
        for item in items:
            print(f"  {item}", file=sys.stderr)
    steps = [*found.missing, f"boresight check {path}", f"boresight run {path}"]
    print("\nNext:\n" + "\n".join(f"  {step}" for step in steps))
