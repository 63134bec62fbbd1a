"""What is exported: a model folder, the adapter beside it, and the base model that both come from, with its licence."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import try_to_load_from_cache

from boresight.config.pipeline import model_location
from boresight.config.sections import ModelSection
from boresight.config.yaml_text import parse_yaml
from boresight.errors import ModelError
from boresight.models.adapters import CONFIG as ADAPTER_CONFIG
from boresight.models.model_folder import holds_model, is_classifier
from boresight.pipeline.context import BASE_MODEL
from boresight.storage import read_json

LICENCE_FILES = ("LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "USE_POLICY*")


class Base(NamedTuple):
    """Where a model began. `place` is a folder or a hub name; None where nothing is known or it began from nothing."""

    place: str | None
    licence: str | None = None
    """As the model card of the base names it (an SPDX word, mostly)."""
    licence_files: tuple[Path, ...] = ()
    from_nothing: bool = False

    @property
    def name(self) -> str | None:
        """A hub name, or the last part of a folder's path."""
        return Path(self.place).name if self.place and Path(self.place).is_dir() else self.place


@dataclass(frozen=True, slots=True)
class Source:
    """One of `model` (a plain model's folder) and `adapter` (a PEFT folder) may be missing."""

    model: Path | None
    adapter: Path | None
    adapter_base: str | None
    """The model that the adapter stands on: a folder or a hub name."""
    base: Base
    is_reward_model: bool
    card: str
    """Its README.md."""

    @property
    def tokenizer(self) -> Path:
        """The folder that the tokenizer is taken from: the model's, or the adapter's where there is none."""
        folder = self.model or self.adapter
        assert folder is not None
        return folder


def find_source(path: Path, stage: str | None, base: str | None) -> Source:
    """Read `path`: a model's folder, a stage's, a PEFT folder, or a run's with `stage`. `base` overrules where an
    adapter's base lies. Raises ModelError where there is no such model."""
    if stage is not None:
        path = _stage_of(path, stage)
    if (path / "stages").is_dir():
        made = sorted(folder.parent.name for folder in path.glob("stages/*/model"))
        raise ModelError(f"{path}: is a run with several models; name one by --stage: {', '.join(made) or 'none yet'}.")
    if (path / "model" / "config.json").is_file():
        return _of_stage(path, base)
    if (path / ADAPTER_CONFIG).is_file():
        return _of_adapter(path, base)
    if holds_model(path):
        if path.name == "model" and (path.parent / "manifest.json").is_file():
            return _of_stage(path.parent, base)
        card = _card(path)
        found = _base_of_card(path, card)
        return Source(path, None, None, found, is_classifier(path), card)
    found_text = "no such folder" if not path.exists() else "holds no model (config.json with weights beside it)"
    raise ModelError(
        f"{path}: {found_text}; expected a model's folder, RUN/stages/NAME, a PEFT folder, or a run with --stage NAME."
    )


def _stage_of(run: Path, stage: str) -> Path:
    if (run / "stages" / stage / "model").is_dir():
        return run / "stages" / stage
    made = sorted(folder.parent.name for folder in run.glob("stages/*/model"))
    raise ModelError(f"{run}: no model of a stage {stage}; finished stages with one: {', '.join(made) or 'none'}.")


def _of_stage(stage: Path, base: str | None) -> Source:
    run, adapter = stage.parent.parent, stage / "adapter"
    config = _json(stage / "config.json")
    parent = config.get("start") or config.get("policy")
    kept = adapter if (adapter / ADAPTER_CONFIG).is_file() else None
    return Source(
        model=stage / "model",
        adapter=kept,
        adapter_base=base or _place_of(run, parent),
        base=_began_from(run, stage.name),
        is_reward_model=is_classifier(stage / "model"),
        card=_card(stage / "model"),
    )


def _of_adapter(folder: Path, base: str | None) -> Source:
    config = _json(folder / ADAPTER_CONFIG)
    place = base or config.get("base_model_name_or_path")
    found = _licensed(place) if place else Base(None)
    return Source(None, folder, place, found, config.get("task_type") == "SEQ_CLS", _card(folder))


def _place_of(run: Path, reference: Any) -> str | None:
    """Where the model of a stage lies, or that of `base_model`."""
    if reference == BASE_MODEL:
        pipeline = run / "pipeline.yaml"
        values = parse_yaml(pipeline.read_text(encoding="utf-8")).value if pipeline.is_file() else None
        path = values.get("model", {}).get("path") if isinstance(values, dict) else None
        return model_location(pipeline, ModelSection(path=path)) if isinstance(path, str) else None
    folder = run / "stages" / str(reference) / "model"
    return str(folder.resolve()) if reference and folder.is_dir() else None


def _began_from(run: Path, stage: str) -> Base:
    """Follow `start` and `policy` from stage to stage down to the base model."""
    seen: set[str] = set()
    while stage not in seen:
        seen.add(stage)
        config = _json(run / "stages" / stage / "config.json")
        if config.get("kind") == "pretrain":
            return Base(None, from_nothing=True)
        parent = config.get("start") or config.get("policy")
        if parent == BASE_MODEL:
            place = _place_of(run, parent)
            return _licensed(place) if place else Base(None)
        stage = str(parent)
    return Base(None)


def _licensed(place: str) -> Base:
    """The base with what its folder, or the local copy of a hub's model, says of its licence."""
    folder = Path(place)
    if not folder.is_dir():
        cached = try_to_load_from_cache(place, "config.json") if place.count("/") == 1 else None
        if not isinstance(cached, str):
            return Base(place)
        folder = Path(cached).parent
    found = _base_of_card(folder, _card(folder))
    return Base(place, found.licence, found.licence_files)


def _base_of_card(folder: Path, card: str) -> Base:
    head = header_of(card)
    licence = head.get("license_name") or head.get("license")
    above = head.get("base_model")
    above = above[0] if isinstance(above, list) and above else above
    files = tuple(sorted(file for pattern in LICENCE_FILES for file in folder.glob(pattern) if file.is_file()))
    return Base(str(above) if above else None, str(licence) if licence else None, files)


def header_of(card: str) -> dict[str, Any]:
    """The YAML at the head of a model card; empty where there is none that can be read."""
    _, begin, rest = card.partition("---\n")
    text, end, _ = rest.partition("\n---")
    value = parse_yaml(text).value if begin and end and card.startswith("---\n") else None
    return value if isinstance(value, dict) else {}


def _card(folder: Path) -> str:
    path = folder / "README.md"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _json(path: Path) -> dict[str, Any]:
    value = read_json(path) if path.is_file() else {}
    return value if isinstance(value, dict) else {}
