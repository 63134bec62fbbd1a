"""The layer table, held against the imports as they are written."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import boresight

PACKAGE = Path(boresight.__path__[0])
PROJECT = Path(__file__).parents[1]

FLOORS = {
    "errors": 0, "storage": 0, "tables": 0,
    "objectives": 1, "stats": 1,
    "records": 2, "config": 2, "runlog": 2,
    "data": 3, "models": 3, "diagnosis": 3, "planning": 3, "migration": 3, "trackers": 3,
    "feedback": 4, "environment": 4,
    "training": 5, "evaluation": 5,
    "pipeline": 6,
    "launch": 7, "web": 7,
    "api": 8,
    "cli": 9,
    "__init__": 10, "__main__": 10,
}  # fmt: skip
"""Floor of each file or folder of the package. A module imports from its own folder and from lower floors."""

SAME_FLOOR = {("storage", "errors"), ("models", "data"), ("launch", "web")}
"""The ground floor has no folder: storage tells its faults as the one exception family does. A role writes its own
conversations, so `models` stands on `data` (docs/decisions/0002-models-stand-on-data.md), never the other way. Replicas
of the scoring service on Ray make the batches of the one over HTTP (docs/decisions/0036-replicas-by-ray-serve.md)."""

THIRD_PARTY = {
    "objectives": {"torch"},
    "stats": {"numpy"},
    "runlog": set[str](),
    "errors": set[str](),
    "storage": set[str](),
}
"""Rooms that import nothing but these, besides the standard library."""

WITHOUT_TORCH = (
    "config",
    "migration",
    "runlog",
    "stats",
    "planning",
    "diagnosis",
    "environment",
    "web/annotation",
    "data",
)
WITH_TORCH = {"boresight.data.tokenize", "boresight.data.batches"}
"""Modules in those rooms that work on tensors; reading and checking data does not."""

LONGEST_FILE = 400
LONGEST_FUNCTION = 60


class Import(NamedTuple):
    """One import as written: `target` is the module, `function` the function around it if there is one."""

    file: Path
    line: int
    target: str
    function: str | None

    def __str__(self) -> str:
        return f"{self.file.relative_to(PACKAGE)}:{self.line} imports {self.target}"

    @property
    def room(self) -> str:
        return self.file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources() -> list[Path]:
    """The package's own code; the embedded example holds data."""
    return sorted(file for file in PACKAGE.rglob("*.py") if "embedded" not in file.relative_to(PACKAGE).parts)


def imports_of(file: Path) -> Iterator[Import]:
    def walk(node: ast.AST, function: str | None) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(file, child.lineno, alias.name, function)
            elif isinstance(child, ast.ImportFrom):
                module = child.module or ""
                if child.level:
                    package = (".".join(("boresight", *file.relative_to(PACKAGE).parts[:-1]))).split(".")
                    module = ".".join(package[: len(package) + 1 - child.level] + ([module] if module else []))
                for alias in child.names:
                    yield Import(file, child.lineno, f"{module}.{alias.name}", function)
            inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
            yield from walk(child, inner)

    yield from walk(ast.parse(file.read_text(encoding="utf-8")), None)


def all_imports() -> list[Import]:
    return [found for file in sources() for found in imports_of(file)]


def own_target(found: Import) -> str | None:
    """The file or folder of ours that is imported; None for the libraries of others."""
    parts = found.target.split(".")
    return parts[1] if parts[0] == "boresight" and len(parts) > 1 else None


def rise(found: Import) -> str | None:
    """What is wrong with an import by the table of floors."""
    target = own_target(found)
    if target is None or target == found.room or (found.room, target) in SAME_FLOOR:
        return None
    if target not in FLOORS or found.room not in FLOORS:
        return f"{found}: not in the layer table"
    if FLOORS[target] >= FLOORS[found.room]:
        return f"{found}: from floor {FLOORS[found.room]} to floor {FLOORS[target]}"
    return None


def test_every_file_and_folder_of_the_package_has_a_floor() -> None:
    rooms = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in sources()}
    assert rooms <= set(FLOORS), "add the new room to the layer table and to this one"


def test_imports_run_downwards_only() -> None:
    assert [fault for found in all_imports() if (fault := rise(found))] == []


@pytest.mark.parametrize(
    ("code", "faults"),
    [
        ("from boresight.training.ppo import train_ppo", 1),
        ("import boresight.cli.main", 1),
        ("from boresight import pipeline", 1),
        ("from ..training import ppo", 1),
        ("def f():\n    from boresight.planning import memory", 1),
        ("from boresight.nowhere import x", 1),
        ("from boresight.records import Message", 0),
        ("from boresight.data.readers import read", 0),
        ("from . import readers", 0),
        ("import json", 0),
    ],
)
def test_the_check_of_floors_sees_what_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, faults: int
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "data").mkdir()
    file = tmp_path / "data/lint.py"
    file.write_text(code)
    assert len([fault for found in imports_of(file) if (fault := rise(found))]) == faults


def test_no_import_hides_in_a_function_except_what_few_runs_need_and_where_a_verb_is_asked_for() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {"pyyaml": "yaml"}
    required = {
        name: names.get(name, name) for item in project["dependencies"] for name in [item.split(">")[0].lower()]
    }
    few_need = {"peft"}  # 20 MB of memory in every process that loads it, for runs with adapters alone
    always_there = {*required.values(), *sys.stdlib_module_names, "boresight"} - few_need
    hidden = [
        str(found)
        for found in all_imports()
        if found.function and found.room not in ("api", "cli") and found.target.split(".")[0] in always_there
    ]
    assert hidden == []


def test_rooms_that_promise_it_import_no_other_library() -> None:
    faults = []
    for found in all_imports():
        library = found.target.split(".")[0]
        allowed = THIRD_PARTY.get(found.room)
        if allowed is not None and library not in {*allowed, *sys.stdlib_module_names, "boresight"}:
            faults.append(str(found))
    assert faults == []


def test_package_files_are_empty_but_for_the_one_that_names_the_api() -> None:
    assert [file for file in PACKAGE.rglob("__init__.py") if file.stat().st_size] == [PACKAGE / "__init__.py"]


def test_no_file_or_folder_is_named_after_no_idea() -> None:
    nameless = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert [str(path) for path in PACKAGE.rglob("*") if path.stem in nameless] == []


def test_files_and_functions_stay_short() -> None:
    long = []
    for file in sources():
        text = file.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > LONGEST_FILE:
            long.append(f"{file.relative_to(PACKAGE)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                length = node.end_lineno - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    long.append(f"{file.relative_to(PACKAGE)}:{node.lineno} {node.name}: {length} lines")
    assert long == []


def modules_without_torch() -> list[str]:
    files = [file for room in WITHOUT_TORCH for file in sorted((PACKAGE / room).rglob("*.py"))]
    modules = [".".join(("boresight", *file.relative_to(PACKAGE).with_suffix("").parts)) for file in files]
    return [name.removesuffix(".__init__") for name in modules if name not in WITH_TORCH]


def test_rooms_that_must_be_instant_load_neither_torch_nor_transformers() -> None:
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'torch', 'transformers'} & set(sys.modules)\n"
        "    if heavy:\n"
        "        sys.exit(f'{name} loads {sorted(heavy)}')\n"
    )
    modules = modules_without_torch()
    assert "boresight.config.load" in modules and "boresight.runlog.reader" in modules
    ended = subprocess.run([sys.executable, "-c", program, *modules], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
