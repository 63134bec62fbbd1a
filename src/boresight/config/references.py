"""What a stage takes from other stages and from files, read off its fields, and the order of stages that follows."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from boresight.config.sections import StageSection
from boresight.config.yaml_text import KeyPath

BASE_MODEL = "base_model"
"""The word that stands for `model.path` where a field wants a stage that makes a model."""

MODEL_KINDS = ("pretrain", "sft", "dpo", "orpo", "simpo", "kto", "ppo", "rloo")
PAIR_KINDS = ("preferences", "ai_labels")

FITTING_KINDS: dict[str, tuple[str, ...]] = {
    "start": MODEL_KINDS,
    "policy": MODEL_KINDS,
    "reference": MODEL_KINDS,
    "candidates": MODEL_KINDS,
    "baseline": MODEL_KINDS,
    "reward": ("reward_model",),
    "reward.model": ("reward_model",),
    "reward.models": ("reward_model",),
    "canary": ("reward_model",),
    "canary.model": ("reward_model",),
    "canary.models": ("reward_model",),
    "judge.model": ("reward_model",),
    "data": PAIR_KINDS,
    "sources": PAIR_KINDS,
    "held_out": PAIR_KINDS,
    "responses": ("sample",),
    "of": ("evaluate",),
}
"""The kinds of stage that a reference field may name."""


class Entry(NamedTuple):
    """One name or path in a field of a stage; `path` starts at the stage."""

    field: str
    path: KeyPath
    text: str


def entries(stage: StageSection, field: str) -> list[Entry]:
    """The names or paths in a field, which may be dotted (`judge.model`) and hold text, a list or a mapping; on the way
    there may be lists of sections (`reward.model`).

    A stage built without validation may hold anything; what is not text there is passed over.
    """
    found: list[tuple[KeyPath, object]] = [((), stage)]
    for part in field.split("."):
        found = [((*path, part), _inside(value, part)) for path, value in each(found)]
    holds_sections = any(other.startswith(f"{field}.") for other in stage.REFERENCES)
    return [
        Entry(field, path, text)
        for place, value in found
        for path, text in each([(place, value)], mappings=not holds_sections)
        if isinstance(text, str)
    ]


def each(found: Iterable[tuple[KeyPath, object]], *, mappings: bool = False) -> list[tuple[KeyPath, object]]:
    """The items of lists (and of mappings) with their paths, and all else as it is."""
    items: list[tuple[KeyPath, object]] = []
    for path, value in found:
        if isinstance(value, list):
            items += [((*path, index), item) for index, item in enumerate(value)]
        elif isinstance(value, dict) and mappings:
            items += [((*path, key), item) for key, item in value.items()]
        else:
            items.append((path, value))
    return items


def _inside(value: object, name: str) -> object:
    """A field of a section; None where the section says that it is a plain word (a model's name at an API)."""
    if name in getattr(value, "PLAIN", ()):
        return None
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def stage_entries(stage: StageSection, names: Iterable[str]) -> list[Entry]:
    """The entries that name one of the stages `names`; the word `base_model` is not among them."""
    known = set(names)
    return [entry for field in stage.REFERENCES for entry in entries(stage, field) if entry.text in known]


def file_entries(stage: StageSection, names: Iterable[str]) -> list[Entry]:
    """The entries that are paths. Where a field takes both, the name of a stage is the stage."""
    known = set(names)
    return [
        entry
        for field in stage.PATHS
        for entry in entries(stage, field)
        if field not in stage.REFERENCES or entry.text not in known
    ]


def stage_inputs(stage: StageSection, names: Iterable[str]) -> list[str]:
    """The stages that this one needs directly, each once."""
    return list(dict.fromkeys(entry.text for entry in stage_entries(stage, names)))


def dependency_order(needs: Mapping[str, list[str]]) -> list[str]:
    """Names so ordered that each follows all that it needs, otherwise as given; those behind a circle are left out."""
    ordered: dict[str, None] = {}
    waiting = list(needs)
    while ready := next((name for name in waiting if all(need in ordered for need in needs[name])), None):
        ordered[ready] = None
        waiting.remove(ready)
    return list(ordered)


def circles(needs: Mapping[str, list[str]]) -> list[list[str]]:
    """Circles of stages that wait for each other: each as its names in order, beginning with the first in the file."""
    placed = set(dependency_order(needs))
    found: list[list[str]] = []
    seen: set[str] = set()
    for start in needs:
        walk: list[str] = []
        name = start
        while name not in placed and name not in seen:
            seen.add(name)
            walk.append(name)
            name = next(need for need in needs[name] if need not in placed)
        if name in walk:
            found.append(walk[walk.index(name) :])
    return found


def resolve(text: str, folder: Path) -> Path:
    """A path of the pipeline file as an absolute path; relative ones start from `folder`.

    What can be no place (the home of nobody, a circle of links, a character that no name has) stays as it is written:
    nothing will be found there.
    """
    try:
        return (folder / Path(text).expanduser()).resolve()
    except (RuntimeError, ValueError):
        return folder / text
