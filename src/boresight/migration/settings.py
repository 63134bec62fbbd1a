"""A foreign tool's settings, taken key by key: what is taken is translated, and what is left has to be named.

Every value is checked as it is taken, and all faults are told at once, each with file, line and key.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from boresight.config.problems import WORDS_OF_BOOL, dotted, show, suggestion
from boresight.config.yaml_text import KeyPath, parse_yaml
from boresight.errors import ConfigError

MOST_SHOWN = 80
"""Characters of a list or mapping that a message shows."""
EMPTY = "empty, so there is nothing to translate"


class Named(NamedTuple):
    """A setting without a counterpart, or with a near one: why, and what is nearest."""

    key: str
    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.value)}: {self.reason}"


class Settings:
    """The file's values by key."""

    def __init__(self, path: Path, values: Mapping[str, Any], lines: Mapping[KeyPath, int]) -> None:
        self.path = path
        self.named: list[Named] = []
        self.translated: list[str] = []
        self._values, self._lines = values, lines
        self._open = dict(_leaves(values))
        self._problems: list[tuple[int, str]] = []

    @property
    def keys(self) -> set[str]:
        """Top-level keys that are not empty."""
        return {key for key, value in self._values.items() if value is not None}

    def raw(self, *path: str | int) -> Any:
        """What stands at a path, taken as translated with all that it holds; None where there is nothing."""
        self._take(path)
        return self._at(path)

    def is_null(self, key: str) -> bool:
        """Whether a key stands there without a value, for the settings where that says something, such as no limit."""
        found = key in self._values and self._values[key] is None
        if found and self._open.pop((key,), found) is None:
            self.translated.append(key)
        return found

    def number(
        self, key: str | KeyPath, default: float | None = None, *, least: float = 0.0, above: bool = False
    ) -> Any:
        """A number of at least `least`, or `above` it. Text such as 2e-5 is a number too: other readers make text of
        it."""
        path = (key,) if isinstance(key, str) else key
        value = self.raw(*path)
        if value is None:
            return default
        number = _as_number(value)
        if number is None or number < least or (above and number <= least):
            self.fault(path, value, f"a number {'above' if above else 'of at least'} {least:g}")
            return default
        return number

    def whole(self, key: str, default: int | None = None, *, least: int = 1) -> Any:
        """A whole number of at least `least`."""
        number = self.number(key, None, least=least)
        if number is None:
            return default
        if number != int(number):
            self.fault((key,), number, "a whole number")
            return default
        return int(number)

    def flag(self, key: str, default: bool = False) -> bool:
        """true or false; `auto` stands for the default."""
        value = self.raw(key)
        if isinstance(value, str):
            value = {"true": True, "false": False, "auto": default}.get(WORDS_OF_BOOL.get(value.lower(), value.lower()))
            if value is None:
                self.fault((key,), self._values[key], "true or false")
        elif value is not None and not isinstance(value, bool):
            self.fault((key,), value, "true or false")
        return value if isinstance(value, bool) else default

    def word(self, key: str, default: str | None = None, choices: Iterable[str] = ()) -> Any:
        """Text, one of `choices` where there are any."""
        value = self.raw(key)
        if value is None:
            return default
        known = list(choices)
        if not isinstance(value, str) or (known and value not in known):
            hint = f"; {suggestion(str(value), known)}" if known else ""
            self.fault((key,), value, ("one of " + ", ".join(known) if known else "text") + hint)
            return default
        return value

    def words(self, key: str, default: Sequence[str] = ()) -> list[str]:
        """A list of texts; one text is a list of those between its commas."""
        value = self.raw(key)
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        if value is None:
            return list(default)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fault((key,), value, "a list of words")
            return list(default)
        return value

    def name(self, path: str | KeyPath, reason: str) -> None:
        """Say of a setting that is there why it is not carried over, or only nearly."""
        keys = (path,) if isinstance(path, str) else path
        key, value = dotted(keys), self._at(keys)
        if value is None or any(named.key == key for named in self.named):
            return
        self._take(keys)
        inside = {dotted(path) for path, _ in _leaves(value, keys)}
        self.translated = [name for name in self.translated if name not in inside]
        self.named.append(Named(key, value, reason))

    def fault(self, path: KeyPath, found: Any, expected: str) -> None:
        """Note a value that cannot stand; `finish` raises them all at once, in the order of their lines."""
        line = self._lines.get(path, 1)
        message = f"{self.path}:{line}: {dotted(path)}: found {show(found)}; expected {expected}"
        self._problems.append((line, message))

    def finish(self, known: Mapping[str, str], tool: str) -> None:
        """Name all that was not taken; raise ConfigError where anything was found at fault."""
        if self._problems:
            raise ConfigError([message for _, message in sorted(dict.fromkeys(self._problems))])
        for path, value in list(self._open.items()):
            if value is None:
                reason = EMPTY
            else:
                meant = known.get(str(path[0])) or _by_beginning(str(path[0]), known)
                if meant and value is False and "the run differs" in meant:
                    meant = "off, there as here"
                reason = meant or f"not known as a setting of {tool}; look up what it does and whether it is needed"
            del self._open[path]
            self.named.append(Named(dotted(path), value, reason))

    def _at(self, path: KeyPath) -> Any:
        value: Any = self._values
        for part in path:
            if isinstance(value, Mapping):
                value = value.get(part)
            else:
                value = value[part] if isinstance(value, list) and isinstance(part, int) else None
        return value

    def _take(self, path: KeyPath) -> None:
        for leaf in [leaf for leaf in self._open if leaf[: len(path)] == tuple(path)]:
            if self._open[leaf] is None:
                continue  # told as empty at the end
            del self._open[leaf]
            self.translated.append(dotted(leaf))


def read_settings(path: Path) -> Settings:
    """Read YAML or JSON. Raises ConfigError with file and line for a text that is no mapping of keys to values."""
    try:
        document = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; expected the settings of a training run, in YAML or JSON") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); expected a file in YAML or JSON") from None
    if document.faults:
        raise ConfigError([_fault_text(path, fault.line, fault.path, fault.message) for fault in document.faults])
    if not isinstance(document.value, dict) or not document.value:
        raise ConfigError(f"{path}:1: the whole file is {show(document.value)}; expected a mapping of keys to values")
    return Settings(path, document.value, document.lines)


def leaves(values: Mapping[str, Any]) -> list[str]:
    """Every key of a file that holds a value of its own, dotted."""
    return [dotted(path) for path, _ in _leaves(values)]


def _leaves(value: Any, path: KeyPath = ()) -> Iterable[tuple[KeyPath, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    else:
        yield path, value


def _shown(value: Any) -> str:
    """Lists and mappings as JSON where they are short."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if isinstance(value, list | Mapping) and len(text) <= MOST_SHOWN else show(value)


def _by_beginning(key: str, known: Mapping[str, str]) -> str | None:
    """Tables may hold beginnings of keys, such as `hub_*`."""
    return next((reason for name, reason in known.items() if name.endswith("*") and key.startswith(name[:-1])), None)


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _fault_text(path: Path, line: int, key: KeyPath, message: str) -> str:
    return ": ".join(part for part in (f"{path}:{line}", dotted(key), message) if part)
