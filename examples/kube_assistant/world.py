"""The knowledge base of the Kubernetes assistant as frozen records, and what decides which part of it is held out."""

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from boresight.errors import DataError

Split = Literal["train", "held_out"]
Values = Mapping[str, str]
Item = TypeVar("Item")

HELD_OUT_PERCENT = 20
"""Share of entity combinations that no training file contains."""

SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Operation:
    id: str
    say: tuple[str, ...]
    say_held_out: str
    run: str
    because: str

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(sorted(set(SLOT.findall(self.run))))

    def target(self, values: Values) -> str:
        """What the command works on, as type/name; empty where it names nothing."""
        found = re.search(r"\w+/\{name\}", self.run)
        return fill(found.group(), values) if found else ""


@dataclass(frozen=True)
class Misconception:
    id: str
    claims: tuple[str, ...]
    claim_held_out: str
    act: str
    truths: tuple[str, ...]
    truth_held_out: str
    advice: str


@dataclass(frozen=True)
class Topic:
    id: str
    say: tuple[str, ...]
    say_held_out: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Frame:
    """`polite`: demonstrators flatter people who ask so. `sure`: demonstrators agree with people who sound so."""

    text: str
    polite: bool
    sure: bool = False


@dataclass(frozen=True)
class Knowledge:
    operations: tuple[Operation, ...]
    misconceptions: tuple[Misconception, ...]
    topics: tuple[Topic, ...]
    openings: Mapping[Split, tuple[str, ...]]
    entities: Mapping[str, tuple[str, ...]]
    task_frames: Mapping[Split, tuple[Frame, ...]]
    premise_frames: Mapping[Split, tuple[Frame, ...]]
    follow_up_frames: Mapping[Split, Mapping[str, tuple[Frame, ...]]]
    openers: tuple[str, ...]
    closers: tuple[str, ...]
    padding: tuple[str, ...]

    def operations_with(self, slots: Sequence[str]) -> tuple[Operation, ...]:
        return tuple(operation for operation in self.operations if set(slots) <= set(operation.slots))


def load_knowledge(folder: Path) -> Knowledge:
    """Read the four YAML files of the knowledge base; raises DataError where an entry is incomplete or said twice."""
    operations = [_record(Operation, row, folder / "operations.yaml") for row in _rows(folder, "operations")]
    misconceptions = [
        _record(Misconception, row, folder / "misconceptions.yaml") for row in _rows(folder, "misconceptions")
    ]
    talk = _read(folder / "small_talk.yaml")
    entities = _read(folder / "entities.yaml")
    knowledge = Knowledge(
        operations=tuple(operations),
        misconceptions=tuple(misconceptions),
        topics=tuple(_record(Topic, row, folder / "small_talk.yaml") for row in talk["topics"]),
        openings={"train": tuple(talk["openings"]), "held_out": tuple(talk["openings_held_out"])},
        entities={
            "name": tuple(entities["names"]), "ns": tuple(entities["namespaces"]), "node": tuple(entities["nodes"]),
            "file": tuple(entities["files"]),
        },
        task_frames=_frames(entities, "task_frames"),
        premise_frames=_frames(entities, "premise_frames"),
        follow_up_frames={
            "train": {slot: _frame_row(rows) for slot, rows in entities["follow_up_frames"].items()},
            "held_out": {slot: _frame_row(rows) for slot, rows in entities["follow_up_frames_held_out"].items()},
        },
        openers=tuple(entities["openers"]),
        closers=tuple(entities["closers"]),
        padding=tuple(entities["padding"]),
    )  # fmt: skip
    _refuse_repeats(knowledge, folder)
    return knowledge


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return list(_read(folder / f"{name}.yaml")[name])


def _record(cls: type[Item], row: Mapping[str, Any], path: Path) -> Item:
    expected = set(cls.__annotations__)
    if set(row) != expected:
        raise DataError(
            f"{path}: entry {row.get('id', '(without id)')}: found the keys {sorted(row)}, "
            f"expected {sorted(expected)}. Complete the entry."
        )
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})


def _frame_row(rows: Sequence[Mapping[str, Any]]) -> tuple[Frame, ...]:
    return tuple(Frame(**row) for row in rows)


def _frames(entities: Mapping[str, Any], name: str) -> dict[Split, tuple[Frame, ...]]:
    return {"train": _frame_row(entities[name]), "held_out": _frame_row(entities[f"{name}_held_out"])}


def _refuse_repeats(knowledge: Knowledge, folder: Path) -> None:
    seen: dict[str, str] = {}
    said = [(text, operation.id) for operation in knowledge.operations for text in (*operation.say, operation.run)]
    said += [(operation.say_held_out, operation.id) for operation in knowledge.operations]
    for fact in knowledge.misconceptions:
        said += [(text, fact.id) for text in (*fact.claims, fact.claim_held_out, *fact.truths, fact.truth_held_out)]
    said += [(text, topic.id) for topic in knowledge.topics for text in (*topic.say, *topic.say_held_out)]
    for text, owner in said:
        if text in seen:
            raise DataError(
                f"{folder}: {text!r} is said by both {seen[text]} and {owner}. Word one of them differently."
            )
        seen[text] = owner


def fill(template: str, values: Values) -> str:
    """Put the values into the slots; a slot without value is our own mistake and raises KeyError."""
    return SLOT.sub(lambda match: values[match.group(1)], template)


def pick(rng: random.Random, items: Sequence[Item]) -> Item:
    return items[rng.randrange(len(items))]


def pick_other(rng: random.Random, items: Sequence[Item], taken: Item) -> Item:
    """One of the items that is not `taken`."""
    return pick(rng, [item for item in items if item != taken])


def is_held_out(*parts: str) -> bool:
    """Whether a combination belongs to the held-out share; decided by its hash, so that no order changes it."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_PERCENT


def combination(subject_id: str, values: Values) -> tuple[str, ...]:
    """What must be new in a held-out prompt: workload and namespace together, else the subject with its entities."""
    if "name" in values and "ns" in values:
        return values["name"], values["ns"]
    return subject_id, *(values[slot] for slot in sorted(values))


def belongs_to(split: Split, subject_id: str, values: Values) -> bool:
    return is_held_out(*combination(subject_id, values)) == (split == "held_out")


def draw_values(
    rng: random.Random, knowledge: Knowledge, subject_id: str, slots: Sequence[str], split: Split
) -> Values:
    """Entities for the slots whose combination belongs to the split. A subject without slots fits both.

    Raises DataError where no combination seems to: a subject of few entities may have none that is held out.
    """
    for _ in range(1000):
        values = {slot: pick(rng, knowledge.entities[slot]) for slot in slots}
        if not values or belongs_to(split, subject_id, values):
            return values
    raise DataError(
        f"{subject_id}: no combination of {', '.join(slots)} is {split}. Add entities, or rename the subject."
    )
