"""`boresight plan`: which method fits this model, data and hardware; what it takes; and a pipeline file for it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from boresight.cli import plan_options as option
from boresight.errors import PlanError

if TYPE_CHECKING:
    from boresight.planning.case import Case
    from boresight.planning.choose import Option

LIMITS = ("tuned", "regulated", "examples", "prompts", "prompt_tokens", "response_tokens", "longest", "epochs", "rank",
          "hours", "budget", "cost_per_gpu_hour")  # fmt: skip
ELSEWHERE = ("formats", "eight_bit_optimizer", "shard", "offload", "engine")


def command(
    model: option.Model = None,
    gpus: option.Gpus = "cpu",
    finetune: option.FinetuneOption = option.Finetune.full,
    method: option.Method = None,
    have: option.Have = "demonstrations,pairs,prompts",
    tuned: option.Tuned = False,
    regulated: option.Regulated = False,
    examples: option.Examples = 10_000,
    prompts: option.Prompts = 10_000,
    prompt_tokens: option.PromptTokens = 256,
    response_tokens: option.ResponseTokens = 256,
    longest: option.Longest = 2048,
    epochs: option.Epochs = 1.0,
    rank: option.Rank = 16,
    dtype: option.DtypeOption = option.Dtype.bfloat16,
    hours: option.Hours = None,
    budget: option.Budget = None,
    cost_per_gpu_hour: option.Cost = None,
    prefer: option.PreferOption = option.Prefer.balance,
    write: option.Write = None,
    calibrate: option.Calibrate = False,
    calibration: option.CalibrationFile = None,
    formats: option.FormatsOption = None,
    eight_bit_optimizer: option.EightBit = False,
    shard: option.Shard = None,
    offload: option.Offload = False,
    engine: option.EngineOption = None,
    listed: option.ListOption = None,
    as_json: option.Json = False,
) -> None:
    """Which method fits this model, data and hardware; memory by part, hours, money; and a pipeline file for it.

    From a config alone, no weights loaded. Memory is counted by part and phase, and the peak is the highest phase; time
    is arithmetic at the speed that was measured (docs/planner.md); prices are yours. Options marked Elsewhere count
    memory as other frameworks have it. Exit code 1: nothing (or not the method asked for) fits; then it is said what
    would make it fit.

    \b
    Example:
      boresight plan --model Llama-3.1-8B --gpus 2xA100-80GB
      boresight plan --model models/base --gpus cpu --have demonstrations,pairs --examples 2000
      boresight plan --model Qwen2.5-7B --gpus H100-80GB --finetune lora --method ppo --write ppo.yaml
      boresight plan --calibrate
    """
    _run(dict(locals()))


def _run(given: dict[str, Any]) -> None:
    if given["listed"] is not None:
        _print_list(given["listed"])
        return
    if given["calibrate"]:
        _calibrate(given["calibration"], given["as_json"] and given["model"] is None)
        if given["model"] is None:
            return
    _answer(_case(given), given["method"], given["write"], given["as_json"])


def _case(given: dict[str, Any]) -> "Case":
    from boresight.planning.calibration import load_calibration
    from boresight.planning.case import Case, Elsewhere, read_have
    from boresight.planning.hardware import find_machine
    from boresight.planning.known_models import find_model

    if given["model"] is None:
        names = "boresight plan --list models"
        raise PlanError(f"--model: missing. Give a model folder, its config.json, or a name ({names}).")
    speeds = load_calibration(given["calibration"])
    machine = find_machine(given["gpus"], speeds)
    name, shape = find_model(given["model"])
    case = Case(
        model=name,
        shape=shape,
        machine=machine,
        calibration=speeds,
        finetune=given["finetune"].value,
        dtype=given["dtype"].value,
        prefer=given["prefer"].value,
        have=read_have(given["have"]),
        elsewhere=Elsewhere(**{key: getattr(given[key], "value", given[key]) for key in ELSEWHERE}),
        **{key: given[key] for key in LIMITS},
    )
    if given["write"] is not None and not case.elsewhere.is_here:
        raise PlanError("--write: a plan for another framework cannot be run here. Leave out what is marked Elsewhere.")
    return case


def _answer(case: "Case", method: str | None, write: Path | None, as_json: bool) -> None:
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


def _write(case: "Case", chosen: "Option", path: Path) -> dict[str, Any]:
    from boresight.planning.write_pipeline import files_named, pipeline_text
    from boresight.storage import write_text

    write_text(path, pipeline_text(case, chosen))
    return {"pipeline": str(path), "missing_files": [str(file) for file in files_named(chosen, path.parent)]}


def _calibrate(path: Path | None, as_json: bool) -> None:
    """The one part of this verb that loads torch."""
    from dataclasses import asdict

    from boresight.pipeline.calibrate import calibrate
    from boresight.planning.calibration import own_path, save_calibration

    measured = calibrate(lambda line: print(f"measuring {line}", file=sys.stderr))
    save_calibration(measured, path := path or own_path())
    if as_json:
        print(json.dumps({"calibration": str(path), **asdict(measured)}))
    else:
        print(f"{path}: {measured.source}", file=sys.stderr)


def _print_list(listed: option.Lists) -> None:
    from boresight.cli.plan_text import gpu_table, model_table

    print(model_table() if listed is option.Lists.models else gpu_table())
