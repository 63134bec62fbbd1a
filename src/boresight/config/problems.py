"""Faults of the fields of a section, in words: what was found, what is expected, and the nearest known name."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from boresight.config.judge_sections import JUDGE_CLASSES
from boresight.config.reward_sections import REWARD_CLASSES
from boresight.config.sections import STAGE_CLASSES, PipelineSections, Section
from boresight.config.yaml_text import KeyPath

TYPE_NAMES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping of names to values",
    "model_type": "a mapping of fields to values",
    "model_attributes_type": "a mapping of fields to values",
}
BOUND_NAMES = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
MOST_NAMES = 12
"""Names that one message lists."""
KINDS = {"judge": list(JUDGE_CLASSES), "reward": list(REWARD_CLASSES)}
"""Kinds of the sections that a field holds; other sections with a kind are stages."""
WORDS_OF_BOOL = {"yes": "true", "on": "true", "no": "false", "off": "false"}
NAME_RULES = {
    "run": "letters, digits, '.', '_' and '-', with a letter or digit first",
    "stages": "small letters, digits and '_', with a letter first",
}


class Problem(NamedTuple):
    """A fault at a place in the file, without file and line."""

    path: KeyPath
    message: str


def dotted(path: KeyPath) -> str:
    """`stages.pairs.sources[1]` for ("stages", "pairs", "sources", 1)."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant; None where none is near."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def show(value: Any) -> str:
    """A value as a message shows it: scalars as YAML would have them, long text cut, mappings and lists by name."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f'{text[:76]}..."'


def suggestion(word: str, known: Iterable[str], what: str = "known") -> str:
    """The end of a message about an unknown word: the nearest known one, or else what is known."""
    names = list(known)
    if near := nearest(word, names):
        return f'did you mean "{near}"?'
    if not names:
        return "remove it"
    shown = ", ".join(names[:MOST_NAMES])
    return f"{what}: {shown}, and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else f"{what}: {shown}"


def field_problems(error: ValidationError, tree: Mapping[str, Any]) -> list[Problem]:
    """Every fault that pydantic found in `tree`, each once, with the path it has in the file."""
    found = [(_path_in_file(details, tree), details) for details in error.errors(include_url=False)]
    guesses = {(*path[:-1], _guess(path, tree)) for path, details in found if details["type"] == "extra_forbidden"}
    grouped: dict[KeyPath, list[ErrorDetails]] = {}
    for path, details in found:
        inside_is_wrong = any(len(other) > len(path) and other[: len(path)] == path for other, _ in found)
        if details["type"] == "missing" and path in guesses:
            continue  # a misspelt required field is one mistake, told where it stands
        if details["type"] in TYPE_NAMES and inside_is_wrong:
            continue  # `text or a list of text`, and an item of the list is not text: only the item is wrong
        grouped.setdefault(path, []).append(details)
    return [Problem(path, _describe(path, group, tree)) for path, group in grouped.items()]


def _path_in_file(details: ErrorDetails, tree: Mapping[str, Any]) -> KeyPath:
    """Pydantic puts kinds, union members and `[key]` marks into its locations; the file has only keys and indices."""
    location = list(details["loc"])
    if location[0] == "stages" and len(location) > 2 and location[2] in STAGE_CLASSES:
        del location[2]
    path: KeyPath = ()
    value: Any = tree
    last = len(location) - 1
    for position, part in enumerate(location):
        known = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
        if part in known:
            path, value = (*path, part), known[part]
        elif position == last and details["type"] == "missing":
            path = (*path, part)
    return path


def _describe(path: KeyPath, group: list[ErrorDetails], tree: Mapping[str, Any]) -> str:
    # Of a union's faults (`text or a list`) the one that is no wrong type tells most: the list is one, but empty.
    first = next((details for details in group if details["type"] not in TYPE_NAMES), group[0])
    kind, found, context = first["type"], first["input"], first.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key (value {show(found)}); {_unknown_key(path, tree)}"
    if kind == "missing":
        return f"required, but missing; {_meaning(path, tree)}"
    if kind == "union_tag_not_found" or (kind == "union_tag_invalid" and found.get("kind") is None):
        return f"no kind given; kinds: {', '.join(_kinds(context, path))}"
    if kind == "union_tag_invalid":
        return f"unknown kind {show(context['tag'])}; {suggestion(str(context['tag']), _kinds(context, path), 'kinds')}"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", str(context["expected"]))
        near = nearest(found, choices) if isinstance(found, str) else None
        ending = f'; did you mean "{near}"?' if near else ""
        lists = ", or a list" if any(details["type"] == "list_type" for details in group) else ""
        return f"found {show(found)}; expected one of {', '.join(choices)}{lists}{ending}"
    if kind == "string_pattern_mismatch":
        return f"found {show(found)}; a name here has {NAME_RULES.get(str(path[0]), 'another form')}"
    if kind == "too_short":
        least, here = context["min_length"], context["actual_length"]
        return f"{here} entries; expected at least {least}" if here else "empty; expected at least one entry"
    if kind == "value_error":
        return f"found {show(found)}; {context['error']}"
    if kind == "finite_number":
        return f"found {found}; expected a finite number"
    if bounds := [f"{name} {context[key]:g}" for key, name in BOUND_NAMES.items() if key in context]:
        return f"out of range: found {show(found)}, expected {' and '.join(bounds)}"
    if all(details["type"] in TYPE_NAMES for details in group):
        expected = " or ".join(dict.fromkeys(TYPE_NAMES[details["type"]] for details in group))
        return f"wrong type: found {show(found)}, expected {expected}{_type_hint(kind, found)}"
    return f"found {show(found)}; {first['msg'][:1].lower()}{first['msg'][1:]}"


def _type_hint(kind: str, found: Any) -> str:
    if kind == "bool_type" and isinstance(found, str) and found.lower() in WORDS_OF_BOOL:
        return f"; write {WORDS_OF_BOOL[found.lower()]}"
    if kind == "string_type" and isinstance(found, bool | int | float):
        return "; put it in quotes"
    if kind in ("int_type", "float_type") and isinstance(found, str) and re.fullmatch(r"[-+]?[0-9.]+", found):
        return "; write it without quotes and without leading zeros"
    return ""


def _kinds(context: Mapping[str, Any], path: KeyPath) -> list[str]:
    named = re.findall(r"'([^']*)'", str(context.get("expected_tags", "")))
    field = next((str(key) for key in reversed(path) if not isinstance(key, int)), "")
    return named or KINDS.get(field, list(STAGE_CLASSES))


def _guess(path: KeyPath, tree: Mapping[str, Any]) -> str | None:
    section = section_at(path[:-1], tree)
    return nearest(str(path[-1]), section.model_fields) if section else None


def _unknown_key(path: KeyPath, tree: Mapping[str, Any]) -> str:
    section = section_at(path[:-1], tree)
    key = str(path[-1])
    if section is None:
        return "remove it"
    owners = [kind for kind, stage in STAGE_CLASSES.items() if key in stage.model_fields]
    if owners and path[0] == "stages" and len(path) == 3:
        return f"only stages of the kinds {', '.join(owners)} have it; remove it"
    own_first = sorted(section.model_fields, key=lambda name: name not in vars(section)["__annotations__"])
    return suggestion(key, own_first, "known keys")


def _meaning(path: KeyPath, tree: Mapping[str, Any]) -> str:
    section = section_at(path[:-1], tree)
    field = section.model_fields.get(str(path[-1])) if section else None
    meaning = " ".join(field.description.split()) if field and field.description else "see the documentation"
    return f"add it ({meaning.rstrip('.')})"


def section_at(path: KeyPath, tree: Mapping[str, Any]) -> type[Section] | None:
    """The class of the mapping at `path`; None where there is none or its kind is unknown."""
    annotation: Any = PipelineSections
    value: Any = tree
    for key in path:
        section = _section_in(annotation, value)
        if section is not None:
            field = section.model_fields.get(str(key))
            annotation = field.annotation if field else None
        else:
            annotation = get_args(annotation)[-1] if get_origin(annotation) in (dict, list) else None
        value = value[key] if isinstance(value, dict) and key in value else None
    return _section_in(annotation, value)


def _section_in(annotation: Any, value: Any) -> type[Section] | None:
    """The section class that an annotation means for a value: of several that whose `kind` it names."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    if get_origin(annotation) in (dict, list, Literal):
        return None
    kind = value.get("kind") if isinstance(value, dict) else None
    members = [member for part in get_args(annotation) if (member := _section_in(part, value))]
    return next((member for member in members if kind in get_args(member.model_fields["kind"].annotation)), None)
