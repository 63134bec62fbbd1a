import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import boresight
from boresight.config import section_bases, sections
from boresight.config.sections import STAGE_CLASSES, Section, StageSection

PACKAGE = Path(boresight.__path__[0])
DEFINITIONS = {
    PACKAGE / f"config/{name}.py"
    for name in ("sections", "section_bases", "preference_stages", "policy_stages", "reward_sections")
}


READ_AS_TEXT = {"quick"}
"""`load_pipeline` applies it to the plain values, before there is a section to read it from."""


def all_sections() -> list[type[Section]]:
    found = [*vars(sections).values(), *vars(section_bases).values()]
    return list(dict.fromkeys(item for item in found if isinstance(item, type) and issubclass(item, Section)))


def attributes_read(file: Path) -> Iterator[str]:
    """Names that code takes from a value: `stage.steps` and `getattr(stage, "steps")`, but not what it stores."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            yield from (
                word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)
            )


def test_every_kind_stands_in_the_table_under_its_own_name() -> None:
    leaves = {
        item for item in all_sections() if issubclass(item, StageSection) and "kind" in vars(item)["__annotations__"]
    }
    assert leaves - {StageSection} == set(STAGE_CLASSES.values())
    for kind, stage in STAGE_CLASSES.items():
        assert get_args(stage.model_fields["kind"].annotation) == (kind,)


def test_every_field_has_its_meaning_in_its_class_or_where_it_is_first_defined() -> None:
    without = []
    for section in all_sections():
        for name in section.model_fields:
            fields = [base.model_fields[name] for base in section.__mro__ if name in getattr(base, "model_fields", {})]
            if name not in ("kind", "judge", "filters") and not any(field.description for field in fields):
                without.append(f"{section.__name__}.{name}")
    assert without == []


def test_every_field_is_read_by_some_code() -> None:
    read = READ_AS_TEXT | {
        name for file in PACKAGE.rglob("*.py") if file not in DEFINITIONS for name in attributes_read(file)
    }
    unread = sorted(
        f"{section.__name__}.{name}" for section in all_sections() for name in section.model_fields if name not in read
    )
    assert not unread, f"no code reads {', '.join(unread)}: read each of them, or remove it"
