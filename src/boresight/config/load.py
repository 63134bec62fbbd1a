"""From a pipeline file to a checked `Pipeline`, or to every fault of it at once, each with its line."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from boresight.config.pipeline import Pipeline, data_root
from boresight.config.problems import Problem, dotted, field_problems, show, suggestion
from boresight.config.references import resolve
from boresight.config.rules import Draft, cross_problems
from boresight.config.sections import (
    STAGE_CLASSES,
    DataSection,
    ModelSection,
    PipelineSections,
    Section,
)
from boresight.config.yaml_text import Document, KeyPath, parse_yaml
from boresight.errors import ConfigError

IN_MEMORY = "pipeline in memory"
"""What stands for the file's name where there is none."""

SectionT = TypeVar("SectionT", bound=Section)


class Place(NamedTuple):
    """Where a value comes from; sorts as the reader meets them: the file by line, then `--set` by position."""

    rank: int
    line: int
    label: str


class Change(NamedTuple):
    """One dotted override, of `--set` or of the file's `quick` section."""

    keys: tuple[str, ...]
    value: Any
    place: Place


class Finding(NamedTuple):
    """A problem at its place; findings sort by place, then key."""

    place: Place
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place.label, self.key, self.message) if part)


@dataclass(frozen=True)
class Tree:
    """The plain values of the whole file after overrides, and the place of each."""

    path: Path
    value: dict[str, Any]
    places: dict[KeyPath, Place]
    findings: list[Finding]

    def find(self, problem: Problem) -> Finding:
        """The problem with its place: that of the value, or of the nearest section around it."""
        path = problem.path
        while path not in self.places:
            path = path[:-1]
        return Finding(self.places[path], dotted(problem.path), problem.message)


def load_pipeline(path: Path, overrides: Sequence[str] = (), quick: bool = False) -> Pipeline:
    """Read and check a pipeline file; `quick` applies its `quick` section, `overrides` (`dotted.key=value`, the value
    in YAML) come after that; a relative `data.root` among them starts from the current folder. The `quick` section is
    checked whether it is applied or not.

    Raises ConfigError with all problems: of the text, the keys, the types and ranges, between stages, and of paths.
    """
    return _checked(_read(path), overrides, quick)


def make_pipeline(values: Mapping[str, Any], overrides: Sequence[str] = (), quick: bool = False) -> Pipeline:
    """The same from a mapping as a file would hold it; relative paths start from the current folder.

    Values may be paths and tuples too. Raises ConfigError with all problems, each with its dotted key.
    """
    plain = _plain(values)
    places = {keys: Place(0, number, "pipeline") for number, keys in enumerate(_key_paths(plain))}
    return _checked(Tree(Path.cwd() / IN_MEMORY, plain, places, []), overrides, quick)


def _checked(tree: Tree, overrides: Sequence[str], quick: bool) -> Pipeline:
    changes, findings = _read_overrides(overrides)
    plain = _with_changes(tree, changes)
    small = _with_changes(tree, [*_quick_changes(tree), *changes])
    findings += [*_check(plain), *_check(small)]
    if findings:
        raise ConfigError([str(finding) for finding in sorted(set(findings))])
    sections = PipelineSections.model_validate(small.value if quick else plain.value, strict=True)
    return Pipeline(tree.path, sections, quick)


def _plain(value: Any) -> Any:
    """What a file would hold: paths as text, tuples as lists, keys as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _key_paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key and list item in the order given, as a file has them line by line."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _key_paths(item, (*path, key))


def _read(path: Path) -> Tree:
    try:
        document = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; give the path of a pipeline file, or make one with `boresight init DIR`"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); expected a pipeline file; correct the path or its rights"
        ) from None
    if document.faults and document.value is None:
        raise ConfigError([f"{path}:{fault.line}: {fault.message}" for fault in document.faults])
    if document.value is None:
        raise ConfigError(f"{path}: the file is empty; expected a mapping with the sections run and stages")
    if not isinstance(document.value, dict):
        raise ConfigError(
            f"{path}:1: the whole file is {show(document.value)}; expected a mapping with the sections run and stages"
        )
    return _tree(path, document)


def _tree(path: Path, document: Document) -> Tree:
    places = {keys: Place(0, line, f"{path}:{line}") for keys, line in document.lines.items()}
    findings = [
        Finding(Place(0, fault.line, f"{path}:{fault.line}"), dotted(fault.path), fault.message)
        for fault in document.faults
    ]
    return Tree(path, document.value, places, findings)


def _read_overrides(overrides: Sequence[str]) -> tuple[list[Change], list[Finding]]:
    changes: list[Change] = []
    findings: list[Finding] = []
    for number, text in enumerate(overrides):
        place = Place(1, number, f"--set {text}")
        key, equals, value = text.partition("=")
        keys = tuple(key.strip().split("."))
        document = parse_yaml(value)
        if not equals or not all(keys):
            findings.append(Finding(place, "", "expected dotted.key=value, as in stages.align.kl_coefficient=0.1"))
        elif keys[0] == "quick":
            findings.append(Finding(place, "", "quick stands in the file only; set the keys that it shortens"))
        elif document.faults:
            findings.extend(Finding(place, dotted((*keys, *fault.path)), fault.message) for fault in document.faults)
        else:
            changes.append(Change(keys, _from_here(keys, document.value), place))
    return changes, findings


def _from_here(keys: tuple[str, ...], value: Any) -> Any:
    """Who types a folder means it from where they stand, while the file's own paths start from the file."""
    return str(resolve(value, Path.cwd())) if keys == ("data", "root") and isinstance(value, str) else value


def _quick_changes(tree: Tree) -> list[Change]:
    section = tree.value.get("quick")
    if not isinstance(section, dict):
        return []
    changes = []
    for key, value in section.items():
        place = tree.places["quick", key]
        changes.append(Change(tuple(key.split(".")), value, place._replace(label=f"{place.label}: quick")))
    return changes


def _with_changes(tree: Tree, changes: Sequence[Change]) -> Tree:
    changed = Tree(tree.path, copy.deepcopy(tree.value), dict(tree.places), list(tree.findings))
    for change in changes:
        problem = _set(changed.value, change)
        if problem:
            changed.findings.append(Finding(change.place, dotted(problem.path), problem.message))
            continue
        for inner in [path for path in changed.places if path[: len(change.keys)] == change.keys]:
            del changed.places[inner]
        for depth in range(1, len(change.keys) + 1):
            changed.places.setdefault(change.keys[:depth], change.place)
    return changed


def _set(tree: dict[str, Any], change: Change) -> Problem | None:
    """Put one value into the tree. A section that the file leaves out is added; a stage is not."""
    keys = change.keys
    stages = tree.get("stages")
    if keys[0] == "stages" and isinstance(stages, dict) and keys[1:2] and keys[1] not in stages:
        return Problem(keys[:2], f"no such stage (value {show(change.value)}); {suggestion(keys[1], stages, 'stages')}")
    section: Any = tree
    for depth, key in enumerate(keys[:-1], start=1):
        if section.get(key) is None:
            section[key] = {}
        section = section[key]
        if not isinstance(section, dict):
            return Problem(keys[:depth], f"holds {show(section)}, in which nothing can be set; set it as a whole")
    section[keys[-1]] = copy.deepcopy(change.value)
    return None


def _check(tree: Tree) -> list[Finding]:
    problems: list[Problem] = []
    try:
        PipelineSections.model_validate(tree.value, strict=True)
    except ValidationError as error:
        problems.extend(field_problems(error, tree.value))
    problems.extend(cross_problems(_draft(tree)))
    return [*tree.findings, *(tree.find(problem) for problem in problems)]


def _draft(tree: Tree) -> Draft:
    raw = tree.value.get("stages")
    sections = {str(name): value for name, value in raw.items()} if isinstance(raw, dict) else {}
    kinds = {name: str(value.get("kind")) if isinstance(value, dict) else "" for name, value in sections.items()}
    # Unknown keys are told by _check; here they are left out, so that the rest of the stage can be looked at.
    known = {
        name: {key: value for key, value in sections[name].items() if key in STAGE_CLASSES[kind].model_fields}
        for name, kind in kinds.items()
        if kind in STAGE_CLASSES
    }
    stages = {name: stage for name in known if (stage := _sound(STAGE_CLASSES[kinds[name]], known[name]))}
    return Draft(
        stages=stages,
        faulty={name: STAGE_CLASSES[kinds[name]].model_construct(**known[name]) for name in known.keys() - stages},
        kinds=kinds,
        model=_sound(ModelSection, tree.value.get("model")) or ModelSection(),
        folder=tree.path.resolve().parent,
        data_root=data_root(tree.path, _sound(DataSection, tree.value.get("data")) or DataSection()),
    )


def _sound(section: type[SectionT], value: Any) -> SectionT | None:
    try:
        return section.model_validate(value, strict=True)
    except ValidationError:
        return None
