"""Which model is meant: a folder, a config file, or the name of a common model."""

import difflib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from boresight.errors import PlanError
from boresight.planning.families import NAMES, config_shape
from boresight.planning.model_folders import folder_shape
from boresight.planning.shapes import ModelShape

TABLE = Path(__file__).with_name("models.json")
"""Configs of common models by their names on the hub, as far as shapes need them."""
TUNED = re.compile(r"[-_](instruct|it|base|chat|hf|pt|sft|dpo)(?=[-_]|$)")
VERSION = re.compile(r"-v\d+(\.\d+)?$")


@cache
def known_configs() -> dict[str, dict[str, Any]]:
    """The configurations of the models that are known by name, as their publishers wrote them."""
    configs: dict[str, dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return configs


def find_model(name: str) -> tuple[str, ModelShape]:
    """Its full name and its shape. Raises PlanError where there is no such model, or its config tells no sizes."""
    path = Path(name)
    if path.is_dir():
        return name, _shape_or_refuse(folder_shape(path), path / "config.json")
    if path.suffix == ".json" or path.is_file():
        return name, _shape_or_refuse(config_shape(_read_config(path)), path)
    known = _known_name(name)
    if known is not None:
        shape = config_shape(known_configs()[known])
        assert shape is not None
        return known, shape
    near = nearest(name, [key.split("/")[-1] for key in known_configs()])
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    raise PlanError(
        f"--model {name}: neither a folder, nor a config.json, nor a model known by name.{meant} "
        "`boresight plan --list models` prints the names; a folder with a config.json alone is enough."
    )


def nearest(name: str, known: list[str], most: int = 3) -> list[str]:
    """The names that are most like it, the nearest first."""
    lowered = {key.lower(): key for key in known}
    return [lowered[key] for key in difflib.get_close_matches(name.split("/")[-1].lower(), lowered, most, 0.5)]


def _known_name(name: str) -> str | None:
    """By the full name, by the name without its owner, or by that without what tells a tuned version from its base."""
    short = name.lower().split("/")[-1]
    untuned = TUNED.sub("", short)
    names = {key: key.lower().split("/")[-1] for key in known_configs()}
    return (
        next((key for key in names if key.lower() == name.lower()), None)
        or next((key for key, known in names.items() if known in (short, untuned)), None)
        or next((key for key, known in names.items() if VERSION.sub("", known) == VERSION.sub("", untuned)), None)
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PlanError(f"--model {path}: no such file. Give a model folder, its config.json, or a name.") from None
    except (OSError, ValueError) as error:
        raise PlanError(f"--model {path}: cannot be read as JSON ({error}). Give the config.json of a model.") from None
    if not isinstance(content, dict):
        raise PlanError(
            f"--model {path}: found a {type(content).__name__}, expected the object of a config.json."
            " Give the config.json of a model."
        )
    return content


def _shape_or_refuse(shape: ModelShape | None, path: Path) -> ModelShape:
    if shape is None:
        keys = ", ".join(names[0] for names in NAMES.values())
        raise PlanError(
            f"--model {path}: does not tell the sizes of a decoder. Expected whole numbers above 0 under {keys} (or "
            "the names that GPT-2 has for them). Give the config.json of a causal language model."
        )
    return shape
