"""The page of the Python API: its head by hand, its listing from the source of `boresight.api`."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import boresight

PACKAGE = Path(boresight.__path__[0])
HEAD = """\
# Python API

Made from the code by `docs/generate.py`. What the command does, for notebooks and programs: the same functions, the
same words, the same errors.

```python
import boresight as bs

bs.plan("Llama-3.1-8B", gpus="2xA100-80GB")  # what fits, and what it takes
bs.load_data("examples/kube_assistant/data/pairs.csv")  # what is in a file
bs.lint("examples/kube_assistant/data/pairs_faulty.csv")  # what is wrong with it
bs.load_pipeline("examples/kube_assistant/pipeline.yaml", overrides={"stages.dpo.beta": 0.2})
```

Two notebooks run from beginning to end on one core, in `examples/notebooks`: `preferences_to_model.ipynb`, from a CSV
of preferences to a judged model, and `log_data_plan.ipynb`, a log, a data file and a plan.

- `import boresight` takes a few milliseconds and loads nothing; each name brings its module when it is used, and torch
  comes with those alone that train, load or score with a model.
- Every function hands back a small object. `print` of it is the text of the command, `to_dict()` is exactly the object
  of its `--json`, and a notebook shows tables and the curves of the report; whatever models wrote is escaped there.
- What a person can mend is a `BoresightError` with the words of the command line; `error.label` tells the family
  (config error, data error, ...). What a check, a gate, a plan or the doctor finds is no error: `passed`, `feasible`
  and `verdict` tell. Only a run that the check refuses raises.
- Progress goes to stderr: a bar on a terminal and in a notebook, plain lines in a log.
- A pipeline is a file, a mapping as the file would hold it, or what `load_pipeline` handed back.
"""
KINDS = {"to_dict", "blocks", "pictures"}
"""Methods that every result has; they are told once, in the head."""


def python_api_page() -> str:
    """Head, functions, then the classes of what they hand back."""
    nodes = {name: _definition(place, name) for name, place in boresight._PLACES.items() if place != "api.evaluate"}
    functions = {f"bs.{name}": node for name, node in nodes.items() if isinstance(node, ast.FunctionDef)}
    for node in _parsed("api.evaluate").body:
        if isinstance(node, ast.FunctionDef):
            functions[f"bs.evaluate.{node.name}"] = node
    results = {name: _definition(place, name) for name, place in boresight._PLACES.items() if name[0].isupper()}
    parts = [HEAD, "## Functions\n"]
    parts += [_function(name, node) for name, node in functions.items()]
    parts.append("## What they hand back\n")
    parts += [_class(name, node) for name, node in results.items() if isinstance(node, ast.ClassDef)]
    return "\n".join(parts)


def _parsed(place: str) -> ast.Module:
    file = PACKAGE / f"{place.replace('.', '/')}.py"
    return ast.parse(file.read_text(encoding="utf-8"))


def _definition(place: str, name: str) -> ast.stmt | None:
    return next((node for node in _parsed(place).body if getattr(node, "name", None) == name), None)


def _function(name: str, node: ast.FunctionDef) -> str:
    mark = "<!-- not run: shown only as output -->"
    return f"### `{name}`\n\n{mark}\n```text\n{_signature(name, node)}\n```\n\n{_doc(node)}\n"


def _signature(name: str, node: ast.FunctionDef) -> str:
    """One parameter a line, as the source has them."""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    arguments = node.args
    lines = []
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + list(arguments.defaults)
    lines += [_argument(one, default) for one, default in zip(arguments.args, defaults, strict=True)]
    if arguments.vararg:
        lines.append(f"*{_argument(arguments.vararg, None)}")
    elif arguments.kwonlyargs:
        lines.append("*")
    lines += [_argument(one, value) for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    if arguments.kwarg:
        lines.append(f"**{_argument(arguments.kwarg, None)}")
    return f"{name}(\n" + "".join(f"    {line},\n" for line in lines) + f"){returns}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(argument.annotation)}".replace("'", "") if argument.annotation else ""
    return f"{argument.arg}{kind}" + (f" = {ast.unparse(default)}" if default is not None else "")


def _class(name: str, node: ast.ClassDef) -> str:
    members = [f"- `{one}`: {doc}" for one, doc in _members(node)]
    return "\n".join([f"### `bs.{name}`\n", _doc(node), *([""] if members else []), *members, ""])


def _members(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Public methods and properties that say what they are."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_") and item.name not in KINDS:
            is_property = any("property" in ast.unparse(one) for one in item.decorator_list)
            doc = inspect.cleandoc(ast.get_docstring(item) or "").split("\n\n")[0].replace("\n", " ")
            if doc:
                yield (item.name if is_property else f"{item.name}()"), doc


def _doc(node: ast.FunctionDef | ast.ClassDef) -> str:
    """The docstring as Markdown, its indented blocks fenced, so that the tests run them."""
    paragraphs = inspect.cleandoc(ast.get_docstring(node) or "").split("\n\n")
    return "\n\n".join(f"```python\n{dedent(one)}\n```" if one.startswith("    ") else one for one in paragraphs)
