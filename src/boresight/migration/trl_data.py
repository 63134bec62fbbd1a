"""The data of a TRL config: `dataset_name`, TRL's mixture, or the Alignment Handbook's, in two forms."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from boresight.config.yaml_text import KeyPath
from boresight.migration.data_files import WHOLE_FILE, DataFile, data_file, parts
from boresight.migration.settings import Settings

MIXTURES = ("datasets", "dataset_mixture", "dataset_mixer")
BY_FORM = "rows are read whole, by their form; cut the file itself"
HELD_OUT = "rows are not held out of a mixture here; cut the file itself: `boresight data split`"


class Part(NamedTuple):
    """An entry of a mixture; the texts are what its path, its split and its subset are called there."""

    keys: KeyPath
    values: Mapping[str, Any]
    place: str
    split: str
    subset: str


def data_files(settings: Settings, folder: Path) -> list[DataFile]:
    """All files of the config, in its order; a fault where there are none."""
    mixtures = [key for key in MIXTURES if key in settings.keys]
    found = [] if mixtures else _one(settings, folder)
    for key in ("dataset_name", "dataset_config", "dataset_train_split") if mixtures else ():
        settings.name(key, f"{mixtures[0]} decides, there as here")
    for part in (*_mixture(settings), *_handbook_mixture(settings)):
        found += _part_files(settings, folder, part)
    found += _mixer(settings, folder)
    return found or [DataFile("data/missing.jsonl", None, None)]


def _one(settings: Settings, folder: Path) -> list[DataFile]:
    """`dataset_name`."""
    name = settings.word("dataset_name")
    if name is None:
        settings.fault(("dataset_name",), None, f"the name or path of the data, or {', '.join(MIXTURES)}")
        return []
    split = settings.word("dataset_train_split", "train")
    file = data_file(name, folder, split=split, subset=settings.word("dataset_config"))
    for key in ("dataset_train_split", "dataset_config") if file.is_whole else ():
        settings.name(key, WHOLE_FILE)
    return [file]


def _mixture(settings: Settings) -> Iterator[Part]:
    """TRL's `datasets`."""
    for keys, part in _entries(settings, ("datasets",)):
        if isinstance(part.get("data_files"), Mapping):
            settings.name((*keys, "data_files"), "give the files as a list")
        for key in ("columns", "fraction", "data_dir", "streaming"):
            settings.name((*keys, key), BY_FORM)
        yield Part(keys, part, "path", "split", "name")


def _handbook_mixture(settings: Settings) -> Iterator[Part]:
    """`dataset_mixture` of the Alignment Handbook."""
    for keys, part in _entries(settings, ("dataset_mixture", "datasets")):
        settings.name((*keys, "columns"), BY_FORM)
        if part.get("weight") != 1:
            settings.name((*keys, "weight"), f"a share of the rows; {BY_FORM}")
        yield Part(keys, part, "id", "split", "config")
    settings.name(("dataset_mixture", "test_split_size"), HELD_OUT)
    settings.name(("dataset_mixture", "seed"), "rows are shuffled by run.seed")


def _entries(settings: Settings, path: KeyPath) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    if path[0] not in settings.keys:
        return
    entries = settings.raw(*path)
    if not isinstance(entries, list) or not entries or not all(isinstance(part, Mapping) for part in entries):
        settings.fault(path, entries, "a list of mappings, one for each data set")
        return
    yield from (((*path, index), part) for index, part in enumerate(entries))


def _part_files(settings: Settings, folder: Path, part: Part) -> list[DataFile]:
    named = parts(part.values.get(part.place), part.values.get("data_files"))
    if not named:
        settings.fault((*part.keys, part.place), part.values.get(part.place), "the path or name of a data set")
        return []
    split, subset = str(part.values.get(part.split) or "train"), part.values.get(part.subset)
    files = [data_file(text, folder, split=split, subset=subset, member=member) for text, member in named]
    for key in (part.split, part.subset) if files[-1].is_whole else ():
        settings.name((*part.keys, key), WHOLE_FILE)
    return files


def _mixer(settings: Settings, folder: Path) -> list[DataFile]:
    """`dataset_mixer` of older recipes: shares by name, whose splits with `train` in their names are trained on."""
    shares = settings.raw("dataset_mixer")
    if shares is None:
        return []
    if not isinstance(shares, Mapping) or not shares:
        settings.fault(("dataset_mixer",), shares, "shares by the name of a data set")
        return []
    splits = [split for split in settings.words("dataset_splits", ["train"]) if "train" in split]
    if not splits:
        settings.fault(("dataset_splits",), settings.raw("dataset_splits"), "a split with `train` in its name")
    subsets: list[str | None] = [*settings.words("dataset_configs")] or [None] * len(shares)
    if len(subsets) != len(shares):
        settings.fault(("dataset_configs",), subsets, f"{len(shares)} names, one for each data set")
        return []
    for name, share in shares.items():
        if share != 1:
            settings.name(("dataset_mixer", name), f"a share of the rows; {BY_FORM}")
    return [
        data_file(str(name), folder, split=split, subset=subset)
        for name, subset in zip(shares, subsets, strict=True)
        for split in splits
    ]
