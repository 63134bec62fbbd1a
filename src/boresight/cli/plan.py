"""`boresight plan`: which method fits this model, data and hardware; what it takes; and a pipeline file for it."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from boresight.errors import PlanError


class FinetuneWays(StrEnum):
    full = "full"
    lora = "lora"
    qlora = "qlora"


class Dtypes(StrEnum):
    bfloat16 = "bfloat16"
    float32 = "float32"


class Preferences(StrEnum):
    balance = "balance"
    quality = "quality"
    cost = "cost"


class Lists(StrEnum):
    models = "models"
    gpus = "gpus"


def command(
    model: Annotated[
        str | None, typer.Option("--model", metavar="DIR_OR_NAME", help="Model folder, config.json, or a common model.")
    ] = None,
    gpus: Annotated[
        str, typer.Option("--gpus", metavar="NxNAME", help="Hardware: 2xA100-80GB, H200-141GB, cpu.")
    ] = "cpu",
    finetune: Annotated[
        FinetuneWays, typer.Option(help="Train all weights, adapters, or adapters on 4-bit weights.")
    ] = (FinetuneWays.full),
    method: Annotated[
        str | None, typer.Option(metavar="METHOD", help="This method alone: sft, orpo, dpo, rloo or ppo.")
    ] = None,
    have: Annotated[
        str,
        typer.Option(
            metavar="KINDS",
            help="Data at hand: demonstrations, pairs, rankings, prompts, verifiable (prompts that a program can "
            "check), judge. With =FILE where it is.",
        ),
    ] = "demonstrations,pairs,prompts",
    tuned: Annotated[bool, typer.Option("--tuned", help="The model was fine-tuned to answer before.")] = False,
    regulated: Annotated[
        bool, typer.Option("--regulated", help="Labels of a language model may not decide alone.")
    ] = False,
    examples: Annotated[int, typer.Option(metavar="N", help="Pairs or demonstrations.")] = 10_000,
    prompts: Annotated[int, typer.Option(metavar="N", help="Prompts that a policy samples from.")] = 10_000,
    prompt_tokens: Annotated[int, typer.Option(metavar="N", help="Mean tokens of a prompt.")] = 256,
    response_tokens: Annotated[int, typer.Option(metavar="N", help="Mean tokens of a response.")] = 256,
    longest: Annotated[int, typer.Option(metavar="N", help="Tokens of the longest prompt and response.")] = 2048,
    epochs: Annotated[float, typer.Option(metavar="E", help="Passes over the data.")] = 1.0,
    rank: Annotated[int, typer.Option(metavar="R", help="Rank of adapters.")] = 16,
    dtype: Annotated[Dtypes, typer.Option(help="Format of matrix products.")] = Dtypes.bfloat16,
    hours: Annotated[float | None, typer.Option(metavar="H", help="Hours at most.")] = None,
    budget: Annotated[float | None, typer.Option(metavar="M", help="Money at most.")] = None,
    cost_per_gpu_hour: Annotated[
        float | None, typer.Option(metavar="C", help="Your price of an hour of one GPU.")
    ] = None,
    prefer: Annotated[Preferences, typer.Option(help="Among methods that fit.")] = Preferences.balance,
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FILE", help="Write the pipeline of the method.")
    ] = None,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure this processor first, and keep it.")] = False,
    calibration: Annotated[Path | None, typer.Option(metavar="FILE", help="Measured speeds to go by.")] = None,
    listed: Annotated[Lists | None, typer.Option("--list", help="Print the known models or GPUs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Which method fits this model, data and hardware; memory by part, hours, money; and a pipeline file for it.

    Answers from a model's config alone: no weights are loaded. Memory is counted by part (weights, gradients,
    optimizer, frozen roles, activations, logits, keys and values) and by phase; the peak is the highest phase. Time is
    arithmetic at the speed that was measured (docs/planner.md), for this package's own loops. Prices are yours.

    Exit code 1: no method (or not the one asked for) is possible; then it is said what would make it so.

    \b
    Example:
      boresight plan --model Llama-3.1-8B --gpus 2xA100-80GB
      boresight plan --model models/base --gpus cpu --have demonstrations,pairs --examples 2000
      boresight plan --model Qwen2.5-7B --gpus H100-80GB --finetune lora --method ppo --write ppo.yaml
      boresight plan --model Qwen2.5-1.5B --gpus 1xRTX4090-24GB --have verifiable --tuned --hours 12
      boresight plan --calibrate
    """
    from boresight.planning.calibration import load_calibration, own_path

    if listed is not None:
        _print_list(listed)
        return
    if calibrate:
        _calibrate(calibration or own_path(), as_json and model is None)
        if model is None:
            return
    if model is None:
        raise PlanError(
            "--model: missing. Give a model folder, its config.json, or a name (boresight plan --list models)."
        )
    case = _case(
        model, gpus, have, load_calibration(calibration), finetune=finetune.value, tuned=tuned, regulated=regulated,
        examples=examples, prompts=prompts, prompt_tokens=prompt_tokens, response_tokens=response_tokens,
        longest=longest, epochs=epochs, rank=rank, dtype=dtype.value, hours=hours, budget=budget,
        cost_per_gpu_hour=cost_per_gpu_hour, prefer=prefer.value,
    )  # fmt: skip
    _answer(case, method, write, as_json)


def _case(model: str, gpus: str, have: str, calibration: Any, **settings: Any) -> Any:
    from boresight.planning.case import Case, read_have
    from boresight.planning.hardware import find_machine
    from boresight.planning.known_models import find_model

    machine = find_machine(gpus, calibration)
    name, shape = find_model(model)
    return Case(model=name, shape=shape, machine=machine, calibration=calibration, have=read_have(have), **settings)


def _answer(case: Any, method: str | None, write: Path | None, as_json: bool) -> None:
    from boresight.cli.plan_text import as_json as plan_json
    from boresight.cli.plan_text import text_of
    from boresight.planning.choose import choose
    from boresight.planning.method_stages import METHODS

    if method is not None and method not in METHODS:
        raise PlanError(f"--method {method}: expected one of {', '.join(METHODS)}.")
    options = choose(case)
    if method is not None:
        options.sort(key=lambda option: option.method != method)
    chosen = options[0]
    written = _write(case, chosen, write) if write is not None and chosen.feasible else None
    if as_json:
        print(json.dumps(plan_json(case, options, written), ensure_ascii=False))
    else:
        print(text_of(case, options, written))
    if not chosen.feasible:
        raise typer.Exit(1)


def _write(case: Any, option: Any, path: Path) -> dict[str, Any]:
    from boresight.planning.write_pipeline import files_named, pipeline_text
    from boresight.storage import write_text

    write_text(path, pipeline_text(case, option))
    return {"pipeline": str(path), "missing_files": [str(file) for file in files_named(option, path.parent)]}


def _calibrate(path: Path, as_json: bool) -> None:
    """The one part of this verb that loads torch."""
    from dataclasses import asdict

    from boresight.pipeline.calibrate import calibrate
    from boresight.planning.calibration import save_calibration

    measured = calibrate(lambda line: print(f"measuring {line}", file=sys.stderr))
    save_calibration(measured, path)
    if as_json:
        print(json.dumps({"calibration": str(path), **asdict(measured)}))
    else:
        print(f"{path}: {measured.source}", file=sys.stderr)


def _print_list(listed: Lists) -> None:
    from boresight.cli.plan_text import gpu_table, model_table

    print(model_table() if listed is Lists.models else gpu_table())
