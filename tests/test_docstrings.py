"""What others call is documented: purpose, shapes of tensors and arrays, units, errors raised, sources of formulas.

Public is what another file uses, and all of `boresight.api`; a function without an underscore that only its own file
calls is told by its name and its place. Whether a shape or a source is the right one is read by people: a test sees
that one is given.
"""

import ast
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import boresight.errors

PACKAGE = Path(boresight.__path__[0])
FORMULAS = ("objectives", "stats")
"""Rooms of pure arithmetic: every function there says where its formula comes from."""

ARRAYS = re.compile(r"\b(Tensor|NDArray|ArrayLike|Array|Numbers|Places|Positions)\b")
WITHOUT_SHAPE = re.compile(r"(dict|Mapping)\[str, Tensor\]|Callable\[.*\]|Iterable\[\w+Parameter\]")
"""Weights by name have the shapes of the model, and what a function given does is told by its own docstring."""
DIMENSION = r"([a-z0-9_]+|[A-Z_]+|\.\.\.)([ /*+-]+[a-z0-9_]+)*"
SHAPE = re.compile(rf"\({DIMENSION},(\s*{DIMENSION}(,\s*{DIMENSION})*,?)?\)|\(\.\.\.\)|\b[Ss]hapes?\b|\bscalars?\b")
"""(pairs,), (responses, tokens), (...), any shape, equal shapes, a scalar."""

NUMBER = re.compile(r"^(int|float)( \| None)?$|^(tuple|list|Sequence|dict|Mapping)\[.*\b(int|float)\b")
SIZED = re.compile(
    r"(^|_)(time|timeout|wait|delay|duration|interval|age|latency|memory|size|cost|price|budget|capacity|bandwidth"
    r"|elapsed|deadline|lifetime|limit|speed)(_|$)"
)
"""Words of a name that say nothing without a unit."""
UNIT = re.compile(
    r"(^|_|\b)((milli|nano)?seconds?|minutes?|hours?|days?|bytes?|[KMG]i?B|[gm]i?b|tokens?|characters?|flops?|usd"
    r"|dollars?|shares?|fractions?|factors?|times|nats?|rows?|lines?|texts?|records?|pairs?|prompts?|responses?"
    r"|requests?|answers?|steps?|layers?|parameters?|dimensions?|hidden|width|replicas|gpus?|devices?)(\b|_|$)",
    re.I,
)

SOURCE = re.compile(r"\b(18|19|20)\d\d\b|arXiv|\b[Bb]y\s+definition\b")
"""A paper's year or number, or that it is so by definition."""
NO_FORMULA = {
    "at_least_float32": "a change of dtype",
    "require_mask": "a check of shapes",
    "require_same_shape": "a check of shapes",
    "fill_masked": "a choice between two values",
    "rating_table": "labels as a table of numbers",
    "shared_ratings": "rows and columns of such a table",
    "blocks": "a series made shorter",
    "scaled_logits": "a division, for the functions of its module",
}

RAISING = ("__init__", "__post_init__", "__new__", "__enter__", "__call__", "__iter__")
"""Called without their name: what they raise is said by them or by their class."""
ERRORS = {name for name in vars(boresight.errors) if name.endswith("Error")}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Public(NamedTuple):
    place: str
    name: str
    room: str
    node: Function | ast.ClassDef
    owner: ast.ClassDef | None
    module: str
    """Its module's docstring."""
    inherited: str
    """What the methods that it overrides or fills in say, as `help()` shows it for those without words of their own."""

    @property
    def own(self) -> str:
        return ast.get_docstring(self.node) or ""

    @property
    def words(self) -> str:
        """All that a reader of the function has before him."""
        return "\n".join((self.own, self.inherited, ast.get_docstring(self.owner) or "" if self.owner else ""))


@functools.cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def sources(package: Path) -> list[Path]:
    return sorted(file for file in package.rglob("*.py") if "embedded" not in file.relative_to(package).parts)


def used_elsewhere(package: Path) -> tuple[set[tuple[str, str]], dict[str, set[Path]]]:
    """(module, name) of what files import by name, (?module, name) of what they reach through a module; and the files
    in which an attribute of a name is read."""
    used: set[tuple[str, str]] = set()
    attributes: dict[str, set[Path]] = {}
    for file in sources(package):
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.ImportFrom) and node.module:
                used |= {(node.module, alias.name) for alias in node.names}
            elif isinstance(node, ast.Attribute):
                attributes.setdefault(node.attr, set()).add(file)
                if isinstance(node.value, ast.Name):
                    used.add((f"?{node.value.id}", node.attr))
    return used, attributes


def overridden(package: Path) -> Callable[[ast.ClassDef, str], str]:
    """The docstrings of the methods of a name in a class's bases, and in the protocols of the package."""
    classes: dict[str, list[ast.ClassDef]] = {}
    filled: dict[str, list[tuple[ast.ClassDef, str]]] = {}
    for file in sources(package):
        for node in parsed(file).body:
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(node)
                for method in methods(node) if "Protocol" in bases(node) else ():
                    if own := ast.get_docstring(method):
                        filled.setdefault(method.name, []).append((node, f"{ast.get_docstring(node) or ''}\n{own}"))

    def words(owner: ast.ClassDef, name: str) -> str:
        above = [base for each in bases(owner) for base in classes.get(each, ()) if base is not owner]
        told = [ast.get_docstring(m) or "" for base in above for m in methods(base) if m.name == name]
        told += [words(base, name) for base in above]
        told += [text for protocol, text in filled.get(name, ()) if protocol is not owner]
        return "\n".join(told).strip()

    return words


def bases(owner: ast.ClassDef) -> list[str]:
    return [base.id for base in owner.bases if isinstance(base, ast.Name)]


def methods(owner: ast.ClassDef) -> list[Function]:
    return [node for node in owner.body if isinstance(node, Function)]


@functools.cache
def public(package: Path) -> tuple[Public, ...]:
    return tuple(_public(package))


def _public(package: Path) -> Iterator[Public]:
    used, attributes = used_elsewhere(package)
    above = overridden(package)
    for file in sources(package):
        inside = file.relative_to(package)
        module = ".".join(("boresight", *inside.with_suffix("").parts))
        room, above_all = inside.parts[0], ast.get_docstring(parsed(file)) or ""
        for node in parsed(file).body:
            if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
                continue
            if not ({(module, node.name), (f"?{file.stem}", node.name)} & used or room == "api"):
                continue
            yield Public(f"{inside}:{node.lineno}", node.name, room, node, None, above_all, "")
            for method in methods(node) if isinstance(node, ast.ClassDef) else ():
                called = room == "api" or attributes.get(method.name, set()) - {file}
                if (called and not method.name.startswith("_")) or (method.name in RAISING and raised(method)):
                    place, name = f"{inside}:{method.lineno}", f"{node.name}.{method.name}"
                    yield Public(place, name, room, method, node, above_all, above(node, method.name))


def accessor(node: ast.AST) -> bool:
    """One `return` of what the object holds: no sentence is shorter than the line itself."""
    if not isinstance(node, Function) or not isinstance(node.body[-1], ast.Return):
        return False
    return len(node.body) == 1 and len((*node.args.args, *node.args.kwonlyargs)) == 1


def undocumented(one: Public) -> list[str]:
    if one.own or one.name.split(".")[-1] in RAISING:
        return []
    plain = one.room != "api" and accessor(one.node)
    return [] if plain or one.inherited else ["has no docstring"]


def shapeless(one: Public) -> list[str]:
    """A tensor or array goes in or comes out, and no shape is said."""
    if isinstance(one.node, ast.ClassDef) or not any(ARRAYS.search(WITHOUT_SHAPE.sub("", t)) for t in types(one.node)):
        return []
    return [] if SHAPE.search(one.words) else ["says no shape"]


def unitless(one: Public) -> list[str]:
    """A number whose name says that it measures something, and neither name nor docstring says in what."""
    node = one.node
    if isinstance(node, ast.ClassDef):
        return []
    named = [(a.arg, ast.unparse(a.annotation)) for a in arguments(node) if a.annotation]
    if node.returns is not None and (SIZED.search(node.name) or one.room == "planning"):
        named.append((node.name, ast.unparse(node.returns)))
    measured = [name for name, kind in named if NUMBER.match(kind) and (SIZED.search(name) or name == node.name)]
    return [f"says no unit of {name}" for name in measured if not UNIT.search(name) and not UNIT.search(one.words)]


def unsaid_errors(one: Public) -> list[str]:
    """An error of `boresight.errors` that the body raises and the docstring does not name."""
    if isinstance(one.node, ast.ClassDef):
        return []
    return [f"does not name {name}" for name in sorted(raised(one.node)) if name not in one.words]


def sourceless(one: Public) -> list[str]:
    """A formula without the paper that it is from, in the docstring of the function, its class or its module."""
    if one.room not in FORMULAS or isinstance(one.node, ast.ClassDef) or one.name in NO_FORMULA:
        return []
    return [] if SOURCE.search(f"{one.words}\n{one.module}") else ["names no source"]


RULES = (undocumented, shapeless, unitless, unsaid_errors, sourceless)


def types(node: Function) -> list[str]:
    found = [argument.annotation for argument in arguments(node)] + [node.returns]
    return [ast.unparse(one) for one in found if one is not None]


def arguments(node: Function) -> list[ast.arg]:
    return [
        *node.args.posonlyargs,
        *node.args.args,
        *node.args.kwonlyargs,
        *filter(None, (node.args.vararg, node.args.kwarg)),
    ]


def raised(node: ast.AST) -> set[str]:
    """Names of the errors of the family that the body raises itself, those of functions inside it left out."""
    found = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise) and child.exc is not None:
            error = child.exc.func if isinstance(child.exc, ast.Call) else child.exc
            found |= {error.id} & ERRORS if isinstance(error, ast.Name) else set()
        if not isinstance(child, Function | ast.ClassDef | ast.Lambda):
            found |= raised(child)
    return found


@pytest.mark.parametrize("rule", RULES)
def test_what_others_call_is_documented(rule: Callable[[Public], list[str]]) -> None:
    assert len(public(PACKAGE)) > 2000
    assert [f"{one.place} {one.name} {fault}" for one in public(PACKAGE) for fault in rule(one)] == []


def test_every_module_says_what_it_is() -> None:
    silent = [file for file in sources(PACKAGE) if file.stat().st_size and not ast.get_docstring(parsed(file))]
    assert [str(file.relative_to(PACKAGE)) for file in silent] == []


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ("def f(x: Tensor) -> Tensor: ...", ["f has no docstring", "f says no shape", "f names no source"]),
        ('def f(x: Tensor): "Its mean (of all), by definition."', ["f says no shape"]),
        ('def f(x: Tensor): "Mean of (pairs,) or (rows, tokens); Fisher 1922."', []),
        ('def f(timeout: float): "Wait. Fisher 1922."', ["f says no unit of timeout"]),
        ('def f(timeout: float): "Wait `timeout` seconds; Fisher 1922."', []),
        ('def f(timeout_seconds: float): "Wait. Fisher 1922."', []),
        ('def f():\n    "By definition."\n    raise DataError("x")', ["f does not name DataError"]),
        ('def f():\n    "By definition; else DataError."\n    raise DataError("x") from None', []),
        ('def f():\n    "By definition."\n    def g():\n        raise DataError', []),
        ('class f:\n    "By definition."\n    def m(self, x): return x', ["f.m has no docstring"]),
        ('class f:\n    "By definition."\n    def m(self): return self.x', []),
        ('class f:\n    "By definition (n,)."\n    def m(self) -> Tensor: return self.x', []),
        ('class P(Protocol):\n    def m(self): "Its mean."\nclass f:\n    "By definition."\n    def m(self): pass', []),
        (
            'class f:\n    "By definition."\n    def __init__(self): raise DataError',
            ["f.__init__ does not name DataError"],
        ),
    ],
)
def test_the_checks_see_what_they_should(tmp_path: Path, body: str, faults: list[str]) -> None:
    (tmp_path / "objectives").mkdir()
    (tmp_path / "objectives/mean.py").write_text(f"{body}\n")
    (tmp_path / "user.py").write_text("from boresight.objectives.mean import f\nf.m\n")
    assert [f"{one.name} {fault}" for one in public(tmp_path) for rule in RULES for fault in rule(one)] == faults
