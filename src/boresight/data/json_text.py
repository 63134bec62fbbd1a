"""JSON objects from text, strictly: what JSON allows but a record cannot hold without losing something is refused.

Refused are a key given twice, NaN and infinity, half a surrogate pair, and nesting deeper than any record.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from boresight.data.refusals import Refuse, stop
from boresight.data.text_files import not_utf8, open_text
from boresight.errors import DataError


def list_objects(path: Path, refuse: Refuse = stop) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON list, each with the line that it starts on. The text is read piece by piece.

    An item that is no record is refused; where the list itself is broken, what follows cannot be told and the reading
    ends with a DataError.
    """
    with open_text(path) as stream:
        window = _Window(stream)
        window.skip_blank()
        window.position += 1  # the opening bracket
        window.skip_blank()
        closed = window.peek() == "]"
        while not closed:
            line, where = window.line, f"{path}:{window.line}"
            value, text = window.take_value(where)
            try:
                item = _checked_item(value, text, where)
            except DataError as error:
                refuse(error, line, value)
            else:
                yield line, item
            window.skip_blank()
            closed = window.peek() == "]"
            if not closed:
                window.take_comma(where)
        window.position += 1
        window.skip_blank()
        if rest := window.peek(20):
            raise DataError(f"{path}: there is more text after the JSON list: {rest!r}. Remove it.")


class _Window:
    """The part of a text that is being read; what lies before `position` is let go when more is read."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._text = ""
        self._size = 2**16  # characters to read next; doubled while one item needs more
        self.position = 0
        self.line = 1

    def peek(self, length: int = 1) -> str:
        if len(self._text) < self.position + length:
            self._more()
        return self._text[self.position : self.position + length]

    def skip_blank(self) -> None:
        while (next_one := self.peek()) and next_one in " \t\r\n":
            self.line += next_one == "\n"
            self.position += 1

    def take_value(self, where: str) -> tuple[Any, str]:
        """The JSON value at the position, and its text."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self.position)
                break
            except (ValueError, RecursionError) as error:
                if self._broken_here(error) or not self._more():
                    raise _not_json(where, self._text[self.position :], error) from error
        text = self._text[self.position : end]
        self.line += text.count("\n")
        self.position = end
        self._size = 2**16
        return value, text

    def take_comma(self, where: str) -> None:
        if self.peek() != ",":
            raise DataError(
                f"{where}: after this object the JSON list goes on with {self.peek(20)!r}; expected a comma or the "
                "closing bracket. The file may be cut off."
                " Export it again, or correct it here."
            )
        self.position += 1
        self.skip_blank()

    def _broken_here(self, error: Exception) -> bool:
        """Whether the fault is in the text that is there already, not at its end, where more text may mend it."""
        if not isinstance(error, json.JSONDecodeError):
            return True
        return not error.msg.startswith("Unterminated string") and error.pos + 12 < len(self._text)

    def _more(self) -> bool:
        """Read on; False at the end of the text."""
        piece = self._stream.read(self._size)
        self._size *= 2
        self._text = self._text[self.position :] + piece
        self.position = 0
        return bool(piece)


def decode_object(text: str, where: str) -> dict[str, Any]:
    """The JSON object in one line of text; DataError that starts with `where` for anything else."""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise _not_json(where, text, error) from error
    return _checked_object(value, text, where)


def is_json(value: Any) -> bool:
    """Whether JSON can hold a value and give it back unchanged."""
    try:
        json.dumps(value, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError):
        return False
    return not isinstance(value, dict) or all(isinstance(key, str) for key in value)


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


def _checked_item(value: Any, text: str, where: str) -> dict[str, Any]:
    if error := not_utf8(text, where):
        raise error
    return _checked_object(value, text, where)


def _checked_object(value: Any, text: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(
            f"{where}: found {kind_of(value)}, expected an object: one record. Correct the row, or leave it out."
        )
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
