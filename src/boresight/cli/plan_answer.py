"""What `boresight plan` answers: the case as it was told, the methods in it, and what is written."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from boresight.api.planning import LIMITS, plan
from boresight.cli.plan_labels import answer_labels
from boresight.errors import PlanError
from boresight.planning.calibration import own_path, save_calibration
from boresight.planning.case import Elsewhere, read_have
from boresight.planning.labelling import LabelCase, LabelPrices
from boresight.planning.plan_text import gpu_table, model_table

ASKED = ("gpus", "finetune", "method", "roles", "have", "dtype", "prefer", "calibration", "write")
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
    _answer(given)


def _answer(given: dict[str, Any]) -> None:
    if given["model"] is None:
        names = "boresight plan --list models"
        raise PlanError(f"--model: missing. Give a model folder, its config.json, or a name ({names}).")
    values = {name: getattr(value, "value", value) for name, value in given.items()}  # of an option with choices
    elsewhere = Elsewhere(**{name: values[name] for name in ELSEWHERE})
    done = plan(values["model"], elsewhere=elsewhere, **{name: values[name] for name in (*ASKED, *LIMITS)})
    print(json.dumps(done.to_dict(), ensure_ascii=False) if given["as_json"] else done)
    if not done.feasible:
        raise typer.Exit(1)


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
