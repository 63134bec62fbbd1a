"""`boresight export`: a model for other tools to load."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Adapters(StrEnum):
    merge = "merge"
    keep = "keep"


class Dtype(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def command(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="RUN/stages/NAME, a model's folder, a PEFT folder, or a run.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    stage: Annotated[str | None, typer.Option(metavar="NAME", help="Stage, where MODEL is a run.")] = None,
    adapters: Annotated[Adapters, typer.Option(help="Merge adapters into the weights, or keep them as PEFT's.")] = (
        Adapters.merge
    ),
    dtype: Annotated[Dtype | None, typer.Option(help="Number format of the weights.  [default: as saved]")] = None,
    max_shard_size: Annotated[str, typer.Option(metavar="SIZE", help="Largest file of weights.")] = "5GB",
    base: Annotated[
        str | None, typer.Option(metavar="NAME", help="Folder or hub name that adapters stand on, if not as recorded.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", metavar="ID", help="Licence, where the base names none or another.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a model for other tools to load.

    These are transformers, PEFT, TRL, vLLM and RewardBench.

    The folder holds safetensors, tokenizer, chat template and a model card with the licence of the base model. A reward
    model is an AutoModelForSequenceClassification with one label that scores the text of a conversation as it was
    trained to. Nothing is overwritten, and the folder appears whole or not at all.

    \b
    Example:
      boresight export runs/kube-assistant/stages/dpo --out kube-dpo --dtype bfloat16
      boresight export runs/kube-assistant --stage scorer --out kube-scorer
      boresight export runs/mine/stages/ppo --out mine-adapter --adapters keep --base owner/model
    """
    from boresight.pipeline.export import ExportWish, export_model

    wish = ExportWish(
        adapters=adapters.value,
        dtype=dtype.value if dtype else None,
        max_shard_size=max_shard_size,
        base=base,
        licence=licence,
    )
    told = export_model(model, out, wish, stage=stage)
    if told["licence"] is None:
        print("note: no licence of a base model is known; --license names one in the model card", file=sys.stderr)
    print(json.dumps(told, ensure_ascii=False) if as_json else _text(told))


def _text(told: dict[str, Any]) -> str:
    what = "reward model" if told["kind"] == "reward_model" else "policy"
    lines = [
        f"{told['out']}  {what}, {told['bytes'] / 1e6:.1f} MB, weights {told['dtype']} in {told['weight_files']} "
        f"{'file' if told['weight_files'] == 1 else 'files'}, adapters: {told['adapters']}",
        *(f"  changed: {change}" for change in told["changed"]),
        f"  base: {told['base'] or 'none named'}; licence: {told['licence'] or 'unknown'}",
    ]
    return "\n".join(lines)
