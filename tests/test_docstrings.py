"""What others call is documented: a line of purpose for all of it, shapes where tensors or arrays go in or come out.

Public is what another file uses; a function without an underscore that only its own file calls is told by its name and
its place. Formulas, units and sources are read by people: no test can tell whether they are right.
"""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import boresight

PACKAGE = Path(boresight.__path__[0])
NUMERIC = ("objectives", "stats")
"""Rooms whose functions are called with arrays by anybody, without a class around them."""

ARRAYS = re.compile(r"Tensor|Array|Numbers")
SHAPED = re.compile(r"\((\.\.\.|\w+), ?(\w+(, ?\w+)*,?)?\)|[Ss]hape|scalar|elements")
"""A docstring that says what shape something has: (pairs,), (responses, tokens), any shape."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@functools.cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def sources(package: Path) -> list[Path]:
    return sorted(file for file in package.rglob("*.py") if "embedded" not in file.relative_to(package).parts)


def used_elsewhere(package: Path) -> set[tuple[str, str]]:
    """(module, name) of what files import by name, and (?module, name) of what they reach through a module."""
    used = set()
    for file in sources(package):
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.ImportFrom) and node.module:
                used |= {(node.module, alias.name) for alias in node.names}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used.add((f"?{node.value.id}", node.attr))
    return used


def public(package: Path) -> Iterator[tuple[Path, Definition]]:
    used = used_elsewhere(package)
    for file in sources(package):
        module = ".".join(("boresight", *file.relative_to(package).with_suffix("").parts))
        for node in parsed(file).body:
            known = isinstance(node, Definition) and not node.name.startswith("_")
            if known and ((module, node.name) in used or (f"?{file.stem}", node.name) in used):
                yield file, node


def undocumented(package: Path) -> list[str]:
    return [
        f"{file.relative_to(package)}:{node.lineno} {node.name}"
        for file, node in public(package)
        if not ast.get_docstring(node)
    ]


def shapeless(package: Path) -> list[str]:
    """Functions of the numeric rooms that take or give arrays and say no shape."""
    found = []
    for file in sources(package):
        if file.relative_to(package).parts[0] not in NUMERIC:
            continue
        for node in parsed(file).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            types = [argument.annotation for argument in (*node.args.args, *node.args.kwonlyargs)] + [node.returns]
            with_arrays = any(ARRAYS.search(ast.unparse(one)) for one in types if one is not None)
            if with_arrays and not SHAPED.search(ast.get_docstring(node) or ""):
                found.append(f"{file.relative_to(package)}:{node.lineno} {node.name}")
    return found


def test_what_another_file_uses_has_a_docstring() -> None:
    assert len(list(public(PACKAGE))) > 1000
    assert undocumented(PACKAGE) == []


def test_functions_of_arrays_say_their_shapes() -> None:
    assert shapeless(PACKAGE) == []


def test_every_module_says_what_it_is() -> None:
    silent = [file for file in sources(PACKAGE) if file.stat().st_size and not ast.get_docstring(parsed(file))]
    assert [str(file.relative_to(PACKAGE)) for file in silent] == []


@pytest.mark.parametrize(
    ("docstring", "bare", "without_shape"),
    [("", 1, 1), ('"""Its mean."""', 0, 1), ('"""Its mean, (pairs,)."""', 0, 0), ('"""Its mean (of all)."""', 0, 1)],
)
def test_the_checks_see_what_they_should(tmp_path: Path, docstring: str, bare: int, without_shape: int) -> None:
    (tmp_path / "objectives").mkdir()
    (tmp_path / "objectives/mean.py").write_text(f"def mean(values: Tensor) -> Tensor:\n    {docstring or '...'}\n")
    (tmp_path / "user.py").write_text("from boresight.objectives.mean import mean\n")
    assert (len(undocumented(tmp_path)), len(shapeless(tmp_path))) == (bare, without_shape)
