"""Records as JSON objects: reading with file and line, writing whole or not at all, and an exact round trip.

Read are JSON Lines and JSON lists, either of them gzip-packed.
"""

import gzip
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any, TypeVar, cast, get_args

from boresight.data.json_text import decode_object, kind_of, list_objects
from boresight.data.refusals import Refuse, stop
from boresight.data.text_files import decode, first_character, read_raw_lines
from boresight.errors import DataError
from boresight.records import (
    Demonstration,
    Message,
    Messages,
    PreferencePair,
    Prompt,
    Ranking,
    RatedResponse,
    Response,
    Role,
)
from boresight.storage import replacing

Record = Prompt | Demonstration | PreferencePair | Response
Written = Record | Ranking
"""What can be written; a ranking is read again as its pairs, never as one record."""
R = TypeVar("R", Prompt, Demonstration, PreferencePair, Response)
ROLES: tuple[str, ...] = get_args(Role)


def read_objects(path: str | Path, refuse: Refuse = stop) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers (from 1) and JSON objects of a JSON Lines file or of a JSON list; blank lines are skipped.

    What is no JSON object in UTF-8 is refused with file and line: by default with a DataError.
    """
    path = Path(path)
    if first_character(path) == "[":
        yield from list_objects(path, refuse)
        return
    for number, raw in read_raw_lines(path):
        try:
            line = decode(raw, path, number)
            if not line.strip():
                continue
            row = decode_object(line.rstrip("\r\n"), f"{path}:{number}")
        except DataError as error:
            refuse(error, number, raw.decode("utf-8", errors="backslashreplace").rstrip("\r\n"))
        else:
            yield number, row


def read_records(path: str | Path, kind: type[R]) -> list[R]:
    """All records of one kind in a file. Raises DataError for a bad record or an id that is given twice."""
    records: list[R] = []
    line_of: dict[str, int] = {}
    for number, row in read_objects(path):
        record = from_record(kind, row, f"{path}:{number}")
        if record.id in line_of:
            raise DataError(
                f"{path}:{number}: the id {record.id!r} is that of line {line_of[record.id]} too; ids must differ."
                " Give one of the two another id."
            )
        line_of[record.id] = number
        records.append(record)
    return records


def write_records(path: str | Path, records: Iterable[Written | Mapping[str, Any]]) -> None:
    """Write one JSON object a line, gzip-packed where the name ends in `.gz`; whole or not at all.

    Equal records give equal bytes: keys of a record stand in the order of its fields, fields that hold their default
    are left out, and a packed file carries no time. Plain mappings are written as they are.
    """
    write_lines(path, (_line(record) for record in records))


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write texts one after the other, packed where the name ends in `.gz`; whole or not at all."""
    with _lines_of(Path(path)) as stream:
        for line in lines:
            stream.write(line.encode("utf-8"))


def write_parted(paths: Mapping[str, Path], records: Iterable[tuple[str, Record]]) -> Counter[str]:
    """Write each record to the file of the name beside it, in one go; where one cannot be written, no file appears.
    Returns the number of records by name."""
    written: Counter[str] = Counter()
    with ExitStack() as stack:
        streams = {name: stack.enter_context(_lines_of(path)) for name, path in paths.items()}
        for name, record in records:
            streams[name].write(_line(record).encode("utf-8"))
            written[name] += 1
    return written


@contextmanager
def _lines_of(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, packed where the name ends in `.gz`, which takes its place at the end."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        if not path.name.endswith(".gz"):
            yield stream
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
            yield cast(IO[bytes], packed)


def as_record(item: Written | RatedResponse) -> dict[str, Any]:
    """A record as a JSON object. Raises DataError for a value that JSON cannot give back unchanged."""
    row: dict[str, Any] = {}
    for spec in fields(item):
        value = getattr(item, spec.name)
        if _required(spec) or value != _default(spec):
            row[spec.name] = _to_json(value, f'{type(item).__name__} {item.id}: "{spec.name}"')
    return row


def from_record(kind: type[R], row: Mapping[str, Any], where: str) -> R:
    """The record that `as_record` made this object from. `where` (file and line) stands in the errors.

    A null stands for an absent field. Raises DataError for a missing or unknown key, or a value of another type than
    the field's.
    """
    if isinstance(row.get("id"), str) and f"(id {row['id']})" not in where:
        where = f"{where} (id {row['id']})"
    specs = {spec.name: spec for spec in fields(kind)}
    for key in row:
        if key not in specs:
            near = get_close_matches(key, specs, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known keys: {', '.join(specs)}."
            raise DataError(
                f'{where}: unknown key "{key}"; {hint} What the record itself need not know goes in "meta".'
            )
    missing = [spec.name for spec in specs.values() if _required(spec) and spec.name not in row]
    if missing:
        raise DataError(
            f'{where}: "{missing[0]}" is missing; found the keys {", ".join(row) or "(none)"}. A {kind.__name__} needs '
            f"{', '.join(spec.name for spec in specs.values() if _required(spec))}."
            " Add it, or leave the record out."
        )
    given = {key: value for key, value in row.items() if value is not None or _required(specs[key])}
    record = kind(**{key: _FIELDS[key](value, f'{where}: "{key}"') for key, value in given.items()})
    _check_roles(record, where)
    return record


def messages_from(value: Any, where: str) -> Messages:
    """Messages of a JSON list of {"role", "content"}; keys that hold null (as Parquet fills them in) are passed over.

    Raises DataError for anything else, a tool call or an image among them: it could not be carried on unchanged.
    """
    if not isinstance(value, list):
        raise DataError(
            f'{where}: found {kind_of(value)}, expected a list of messages {{"role", "content"}}. Correct the record.'
        )
    return tuple(_message(item, f"{where}, message {i}") for i, item in enumerate(value, start=1))


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, dict):
        raise DataError(
            f'{where}: found {kind_of(item)}, expected an object {{"role", "content"}}. Correct the record.'
        )
    extra = [key for key, value in item.items() if key not in ("role", "content") and value is not None]
    if extra:
        raise DataError(
            f'{where}: the key "{extra[0]}" cannot be carried on; a message is {{"role", "content"}}. Write what '
            "matters of it into the content, or leave the record out."
        )
    role, content = item.get("role"), item.get("content")
    if role not in ROLES:
        raise DataError(f'{where}: "role" is {role!r}; expected one of {", ".join(ROLES)}. Correct the record.')
    return Message(role, _content(content, f'{where}: "content"'))


def _content(value: Any, where: str) -> str:
    """A text, or the one text part that OpenAI's clients write in its place; several would lose where one ends."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        part = {key: held for key, held in value[0].items() if held is not None}
        if part.keys() == {"type", "text"} and part["type"] == "text":
            value = part["text"]
    return _text(value, where)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: found {kind_of(value)}, expected a text. Correct the record.")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError(f"{where}: found {kind_of(value)}, expected a number. Correct the record.")
    try:
        return float(value)
    except OverflowError as error:
        raise DataError(f"{where}: the number is too large. Correct the record.") from error


def _count(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DataError(f"{where}: found {value!r}, expected a whole number, 0 or more. Correct the record.")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise DataError(f"{where}: found {kind_of(value)}, expected true or false. Correct the record.")
    return value


def probability(value: Any, where: str) -> float:
    """A number from 0 to 1; DataError for any other."""
    number = _number(value, where)
    if not 0.0 <= number <= 1.0:
        raise DataError(f"{where}: found {number:g}, expected a probability from 0 to 1. Correct the record.")
    return number


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: found {kind_of(value)}, expected an object. Correct the record.")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise DataError(f"{where}: found {kind_of(value)}, expected a list of texts. Correct the record.")
    return tuple(_text(item, where) for item in value)


def _numbers(value: Any, where: str) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise DataError(f"{where}: found {kind_of(value)}, expected a list of numbers. Correct the record.")
    return tuple(_number(item, where) for item in value)


def _prompt(value: Any, where: str) -> Prompt | Messages:
    """A Response carries the whole Prompt record, a PreferencePair the prompt's messages."""
    return from_record(Prompt, value, where) if isinstance(value, dict) else messages_from(value, where)


_FIELDS: dict[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(("id", "kind", "source", "ranking_id", "text", "model"), _text),
    **dict.fromkeys(("messages", "chosen", "rejected"), messages_from),
    **dict.fromkeys(("expect", "meta", "criteria", "revision"), _mapping),
    **dict.fromkeys(("strength", "temperature", "logp_sum"), _number),
    **dict.fromkeys(("n_votes", "tokens"), _count),
    "p_chosen": probability,
    "annotators": _texts,
    "scores": _numbers,
    "stopped": _flag,
    "prompt": _prompt,
}


def _check_roles(record: Record, where: str) -> None:
    if isinstance(record, Response):
        if not isinstance(record.prompt, Prompt):
            raise DataError(
                f'{where}: "prompt" is a list of messages; expected a prompt record {{"id", "messages"}}.'
                " Write it so, or leave the record out."
            )
        return
    if isinstance(record, PreferencePair):
        if isinstance(record.prompt, Prompt):
            raise DataError(
                f'{where}: "prompt" is an object; expected a list of messages {{"role", "content"}}.'
                " Correct the record."
            )
        closed = {"chosen": record.chosen, "rejected": record.rejected}
    elif isinstance(record, Demonstration):
        closed = {"messages": record.messages}
    else:
        closed = {}
        if not record.messages or record.messages[-1].role == "assistant":
            raise DataError(f'{where}: "messages" {_ends(record.messages)}; a prompt waits for the assistant.')
    for name, messages in closed.items():
        if not messages or messages[-1].role != "assistant":
            raise DataError(
                f'{where}: "{name}" {_ends(messages)}; expected an assistant message at its end. Correct the record.'
            )


def _ends(messages: Messages) -> str:
    return f"ends with a message of the role {messages[-1].role}" if messages else "is empty"


def _required(spec: "Field[Any]") -> bool:
    return spec.default is MISSING and spec.default_factory is MISSING


def _default(spec: "Field[Any]") -> Any:
    return spec.default if spec.default_factory is MISSING else spec.default_factory()


def _to_json(value: Any, where: str) -> Any:
    """A field's value; the parts that are free mappings get sorted keys."""
    if isinstance(value, Prompt):
        return as_record(value)
    if isinstance(value, tuple):
        return [{"role": m.role, "content": m.content} if isinstance(m, Message) else m for m in value]
    return _free_json(value, where)


def _free_json(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise DataError(
                f"{where}: has keys that are no texts ({list(value)[:3]}), which JSON cannot keep. Make them texts."
            )
        return {key: _free_json(value[key], f"{where}.{key}") for key in sorted(value)}
    if isinstance(value, list):
        return [_free_json(item, where) for item in value]
    finite = not isinstance(value, float) or math.isfinite(value)
    if value is None or (isinstance(value, (str, int, float)) and finite):
        return value
    raise DataError(
        f"{where}: {value!r} ({type(value).__name__}) cannot be kept in JSON; use texts, numbers and lists."
    )


def _line(record: Written | Mapping[str, Any]) -> str:
    row = record if isinstance(record, Mapping) else as_record(record)
    try:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False)
        line.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise DataError(
            f"record {row.get('id', '(no id)')}: cannot be written as JSON: {error}. Correct that value."
        ) from error
    return line + "\n"
