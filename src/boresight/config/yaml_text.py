"""YAML with a line for every key, and without the surprises of YAML 1.1.

Read here, `1e-6` is a number, `on`, `off`, `yes` and `no` are words, `012` and `1:30` are text, and a key that is
given twice is a fault. PyYAML parses; only the meaning of plain scalars is set anew (core schema of YAML 1.2.2, 10.3).
"""

import re
from typing import Any, NamedTuple

import yaml

KeyPath = tuple[str | int, ...]
"""Where a value stands in a file: ("stages", "pairs", "sources", 1)."""

MAX_VALUES = 100_000
"""Values in one file, aliases spelled out: far beyond any pipeline, and an end to aliases of aliases of aliases."""

MAX_DIGITS = 400
"""Digits of a whole number: more than any setting has, and fewer than Python refuses to read."""

TAG = "tag:yaml.org,2002:"
BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
INT = re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$")
FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
NULL = re.compile(r"^(?:~|null|Null|NULL|)$")


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML reads this class attribute


class _Dumper(yaml.SafeDumper):
    """Quotes what either YAML 1.1 or this module would not read as text."""


_Loader.add_implicit_resolver(f"{TAG}bool", BOOL, list("tTfF"))
_Loader.add_implicit_resolver(f"{TAG}int", INT, list("-+0123456789"))
_Loader.add_implicit_resolver(f"{TAG}float", FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver(f"{TAG}null", NULL, ["~", "n", "N", ""])
_Dumper.add_implicit_resolver(f"{TAG}float", FLOAT, list("-+0123456789."))


class Fault(NamedTuple):
    """Something wrong with the text itself, at a line (from 1)."""

    line: int
    message: str
    path: KeyPath = ()


class Document(NamedTuple):
    """A YAML file as it was read: its value, the line of each key, and what is wrong with it."""

    value: Any
    lines: dict[KeyPath, int]
    faults: list[Fault]


class _Reader:
    """Turns a node graph into plain values, and notes the line of every key and list item."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {(): 1}
        self.faults: list[Fault] = []
        self.open_nodes: list[int] = []
        self.count = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.count += 1
        if id(node) in self.open_nodes:
            return self._refuse(node, path, "an alias (*) stands inside the value that it repeats; write the value out")
        if self.count > MAX_VALUES:
            raise yaml.YAMLError(f"more than {MAX_VALUES} values, aliases spelled out")
        self.open_nodes.append(id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{TAG}map":
            result: Any = self._mapping(node, path)
        elif isinstance(node, yaml.SequenceNode) and node.tag == f"{TAG}seq":
            result = self._sequence(node, path)
        else:
            result = self._scalar(node, path)
        self.open_nodes.pop()
        return result

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, path, "a key is a list or a mapping; expected a word")
                continue
            if key_node.tag == f"{TAG}str" and key_node.value == "<<" and key_node.style is None:
                self._refuse(key_node, path, "<< merges keys of another place, which is not done here; write them out")
                continue
            key = self._text(key_node, key_node.value, path)
            inner = (*path, key)
            if key in result:
                first = self.lines[inner]
                self._refuse(key_node, inner, f"given twice (first at line {first}); keep one and remove the other")
                continue
            self.lines[inner] = _line(key_node)
            result[key] = self.value(value_node, inner)
        return result

    def _sequence(self, node: yaml.SequenceNode, path: KeyPath) -> list[Any]:
        result = []
        for index, item in enumerate(node.value):
            self.lines[(*path, index)] = _line(item)
            result.append(self.value(item, (*path, index)))
        return result

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        text = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
        match node.tag.removeprefix(TAG):
            case "null":
                return None
            case "bool" if BOOL.match(text):
                return text.lower() == "true"
            case "int" if INT.match(text):
                if len(text) > MAX_DIGITS:
                    return self._refuse(node, path, f"a number of {len(text)} digits; expected {MAX_DIGITS} at most")
                return int(text)
            case "float" if FLOAT.match(text):
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
            case "str":
                return self._text(node, text, path)
        return self._refuse(node, path, f"the tag {node.tag} is not known here; write the value without a tag")

    def _text(self, node: yaml.Node, text: str, path: KeyPath) -> str:
        """A text as it was meant: JSON spells one character as two escapes, `\\ud83d\\ude00`."""
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._refuse(node, path, "half of a character (\\ud800 to \\udfff stand in pairs); write it out")
            return ""

    def _refuse(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self.faults.append(Fault(_line(node), message, path))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def parse_yaml(text: str) -> Document:
    """The value of a YAML text with the line of every key. A text that cannot be parsed at all has one fault."""
    reader = _Reader()
    try:
        node = yaml.compose(text, Loader=_Loader)
        value = None if node is None else reader.value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.faults.append(Fault(mark.line + 1 if mark else 1, f"not valid YAML: {_reason(error)}"))
        value = None
    except yaml.YAMLError as error:
        reader.faults.append(Fault(1, f"not valid YAML: {' '.join(str(error).split())}"))
        value = None
    except RecursionError:
        reader.faults.append(Fault(1, "not a pipeline file: values stand inside values too deeply to be read"))
        value = None
    return Document(value, reader.lines, reader.faults)


def _reason(error: yaml.MarkedYAMLError) -> str:
    reason = " ".join(part for part in (error.context, error.problem) if part)
    return f"{reason}; indent with spaces" if "'\\t'" in reason else reason


def dump_yaml(value: Any) -> str:
    """YAML text that `parse_yaml` (and any YAML 1.1 reader) reads back to the same value; keys keep their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
