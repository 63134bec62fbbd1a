"""What `boresight plan` answers: the case as it was told, the methods in it, and what is written."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from boresight.cli.plan_labels import answer_labels
from boresight.cli.plan_text import as_json as plan_json
from boresight.cli.plan_text import gpu_table, model_table, text_of
from boresight.errors import PlanError
from boresight.planning.calibration import load_calibration, own_path, save_calibration
from boresight.planning.case import Case, Elsewhere, read_have
from boresight.planning.choose import Option, choose
from boresight.planning.hardware import find_machine
from boresight.planning.known_models import find_model
from boresight.planning.labelling import LabelCase, LabelPrices
from boresight.planning.method_stages import METHODS
from boresight.planning.write_pipeline import files_named, pipeline_text
from boresight.storage import write_text

LIMITS = ("tuned", "regulated", "examples", "prompts", "prompt_tokens", "response_tokens", "longest", "epochs", "rank",
          "hours", "budget", "cost_per_gpu_hour")  # fmt: skip
ELSEWHERE = ("formats", "eight_bit_optimizer", "shard", "offload", "engine")


def answer(given: dict[str, Any]) -> None:
    """The options by their names in `boresight.cli.plan`. Raises PlanError for what cannot be meant, Exit(1) where
    nothing fits."""
    if given["listed"] is not None:
        _print_list(given["listed"])
        return
    if given["calibrate"]:
        _calibrate(given["calibration"], given["as_json"] and given["model"] is None)
        if given["model"] is None:
            return
    if given["labels"] is not None:
        answer_labels(_label_case(given), given["as_json"])
        return
    _answer(_case(given), given["method"], given["write"], given["as_json"])


def _case(given: dict[str, Any]) -> Case:
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
        roles=None if given["roles"] is None else given["roles"].value,
        have=read_have(given["have"]),
        elsewhere=Elsewhere(**{key: getattr(given[key], "value", given[key]) for key in ELSEWHERE}),
        **{key: given[key] for key in LIMITS},
    )
    if given["write"] is not None and not case.elsewhere.is_here:
        raise PlanError("--write: a plan for another framework cannot be run here. Leave out what is marked Elsewhere.")
    return case


def _label_case(given: dict[str, Any]) -> LabelCase:
    prices = LabelPrices(**{name: given[name] for name in LabelPrices._fields})
    return LabelCase(
        pairs=given["labels"],
        prices=prices,
        judge="judge" in read_have(given["have"]),
        prefer=given["prefer"].value,
        regulated=given["regulated"],
        budget=given["budget"],
        hours=given["hours"],
    )


def _answer(case: Case, method: str | None, write: Path | None, as_json: bool) -> None:
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


def _write(case: Case, chosen: Option, path: Path) -> dict[str, Any]:
    write_text(path, pipeline_text(case, chosen))
    return {"pipeline": str(path), "missing_files": [str(file) for file in files_named(chosen, path.parent)]}


def _calibrate(path: Path | None, as_json: bool) -> None:
    """The one part of this verb that loads torch."""
    from boresight.pipeline.calibrate import calibrate

    measured = calibrate(lambda line: print(f"measuring {line}", file=sys.stderr))
    save_calibration(measured, path := path or own_path())
    if as_json:
        print(json.dumps({"calibration": str(path), **asdict(measured)}))
    else:
        print(f"{path}: {measured.source}", file=sys.stderr)


def _print_list(listed: str) -> None:
    print(model_table() if listed == "models" else gpu_table())
