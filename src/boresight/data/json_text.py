"""JSON objects from text, strictly: what JSON allows but a record cannot hold without losing something is refused.

Refused are a key given twice, NaN and infinity, half a surrogate pair, and nesting deeper than any record.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from boresight.data.text_files import read_text
from boresight.errors import DataError


def list_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON list, each with the line that it starts on."""
    text = read_text(path)
    position = _skip_blank(text, text.index("[") + 1)
    line, counted = 1, 0
    empty = text[position : position + 1] == "]"
    while not empty:
        line, counted = line + text.count("\n", counted, position), position
        where = f"{path}:{line}"
        try:
            value, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise _not_json(where, text[position:], error) from error
        yield line, _checked_object(value, text[position:end], where)
        position = _skip_blank(text, end)
        if text[position : position + 1] == "]":
            break
        if text[position : position + 1] != ",":
            raise DataError(
                f"{where}: after this object the JSON list goes on with {text[position : position + 20]!r}; expected a "
                "comma or the closing bracket. The file may be cut off."
            )
        position = _skip_blank(text, position + 1)
    if rest := text[position + 1 :].strip():
        raise DataError(f"{path}: there is more text after the JSON list: {rest[:20]!r}. Remove it.")


def _skip_blank(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def decode_object(text: str, where: str) -> dict[str, Any]:
    """The JSON object in one line of text; DataError that starts with `where` for anything else."""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise _not_json(where, text, error) from error
    return _checked_object(value, text, where)


def kind_of(value: Any) -> str:
    """What a JSON value is, in words, for messages."""
    if value is None:
        return "null"
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), type(value).__name__)


def _checked_object(value: Any, text: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: found {kind_of(value)}, expected an object: one record.")
    if "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"{where}: a text holds half a surrogate pair ({error.object[error.start]!r}), which is no character "
                "and cannot be written. Export the data again, or correct this record."
            ) from error
    return value


def _not_json(where: str, text: str, error: Exception) -> DataError:
    if isinstance(error, RecursionError):
        return DataError(f"{where}: the JSON is nested too deeply for a record. Correct the line.")
    reason = f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else str(error)
    return DataError(
        f"{where}: not valid JSON: {reason} (the text begins {text.strip()[:40]!r}). Expected one JSON object a line, "
        "or a list of objects. Correct it there."
    )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'the key "{twice}" is given twice in one object')
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text} is too large")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_float=_finite, parse_constant=_no_constant)
