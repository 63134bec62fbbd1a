"""A data file in another form. What the other form cannot hold is found by reading each row back as it is written.

A field that comes back changed is counted as lost. Text that would come back as other text is refused, since a model
would be trained on it; only white space at the ends of messages, which transcripts do not keep, is counted instead.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from boresight.data.inspection import Progress, reported
from boresight.data.jsonl import as_record
from boresight.data.record_stream import Record, stream_records
from boresight.data.refusals import Refuse, stop
from boresight.data.sources import Source
from boresight.data.tables import LONGEST_CELL, Row, container_of
from boresight.data.written_forms import (
    DEMONSTRATION_TARGETS,
    PAIR_TARGETS,
    PROMPT_TARGETS,
    TARGET_NAMES,
    Target,
)
from boresight.data.written_rows import write_rows
from boresight.errors import DataError
from boresight.records import Message

TEXTS = ("prompt", "chosen", "rejected", "messages")


@dataclass
class Conversion:
    """`lost` counts records by the field that the form could not hold; `left_out` rows that hold no record, by
    reason; `unkept` values of columns that had no place in `meta`."""

    format: str
    to: str
    kind: str
    out: Path
    rows: int = 0
    records: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, int] = field(default_factory=dict)
    unkept: dict[str, int] = field(default_factory=dict)


def convert_file(
    path: str | Path,
    to: str,
    out: str | Path,
    *,
    form: str | None = None,
    columns: Mapping[str, str] | None = None,
    refuse: Refuse = stop,
    progress: Progress | None = None,
) -> Conversion:
    """Write the records of `path` in the form `to`; the container follows from the name of `out`, which is written
    whole or not at all. Raises DataError for what `refuse` does not let pass."""
    path, out = Path(path), Path(out)
    if out.exists() and path.exists() and out.resolve() == path.resolve():
        raise DataError(f"{out}: this is the file that is read. Give --out another name.")
    stream = stream_records(path, form=form, columns=columns, refuse=refuse, keep_rest=True)
    target = _target(stream.source, to, out)
    conversion = Conversion(stream.source.shown, to, stream.source.kind, out)
    write_rows(out, _rows(reported(stream.records, progress), target, to, path, conversion, refuse))
    conversion.rows = stream.source.read
    conversion.left_out = {reason: len(lines) for reason, lines in stream.left_out.items()}
    conversion.unkept = stream.source.unkept
    return conversion


def _target(source: Source, to: str, out: Path) -> Target[Any]:
    targets: Mapping[str, Mapping[str, Target[Any]]] = {
        "pairs": PAIR_TARGETS,
        "demonstrations": DEMONSTRATION_TARGETS,
        "prompts": PROMPT_TARGETS,
    }
    known = targets.get(source.kind, {})
    if to not in known:
        raise DataError(
            f"{source.path}: holds {source.kind} ({source.shown}), which cannot be written as {to!r}; expected one of "
            f"{', '.join(known or TARGET_NAMES)}."
            " Choose one of these with --to."
        )
    target, container = known[to], container_of(out)
    if container == "text" or (container in ("csv", "tsv")) != target.tabular:
        endings = ".csv or .tsv" if target.tabular else ".jsonl, .json or .parquet"
        raise DataError(f"{out}: the form {to!r} is written to a file that ends in {endings} (and .gz). Rename it.")
    return target


def _rows(
    records: Iterator[tuple[int, Record]],
    target: Target[Any],
    to: str,
    path: Path,
    conversion: Conversion,
    refuse: Refuse,
) -> Iterator[Row]:
    for line, record in records:
        where = f"{path}:{line} (id {record.id})"
        try:
            rows = _written(record, target, to, where, conversion.lost)
        except DataError as error:
            refuse(error, line, as_record(record))
            continue
        conversion.records += 1
        yield from rows


def _written(record: Record, target: Target[Any], to: str, where: str, lost: Counter[str]) -> list[Row]:
    """The rows of a record, after reading them back. Raises DataError where the form cannot hold its text."""
    try:
        rows = target.write(record)
    except DataError as error:
        raise DataError(f"{where}: cannot be written as {to}: {error} {_advice()}") from error
    if target.tabular:
        _check_cells(rows, where)
    try:
        back = target.read(rows)
    except DataError as error:
        raise DataError(f"{where}: written as {to} it could not be read again: {error} {_advice()}") from error
    changed: list[str] = []
    for spec in fields(record):
        was, now = getattr(record, spec.name), getattr(back, spec.name)
        if was == now:
            continue
        if spec.name not in TEXTS:
            changed.append(spec.name)
        elif _stripped(was) == _stripped(now):
            changed.append(f"white space at the ends of {spec.name}")
        else:
            raise DataError(
                f'{where}: "{spec.name}" would come back from {to} as other text ({_difference(was, now)}), because it '
                f"holds what that form takes for its own marks. {_advice()}"
            )
    lost.update(changed)
    return rows


def _check_cells(rows: list[Row], where: str) -> None:
    name = next((key for row in rows for key, cell in row.items() if len(cell) > LONGEST_CELL), None)
    if name is not None:
        raise DataError(
            f'{where}: "{name}" is longer than the {LONGEST_CELL:,} characters that a CSV cell holds when it is read '
            f"again. {_advice()}"
        )


def _advice() -> str:
    return "Choose a form with room for it (boresight holds everything), or leave such records out."


def _stripped(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(message.role, message.content.strip()) for message in messages]


def _difference(was: tuple[Message, ...], now: tuple[Message, ...]) -> str:
    """The first message that differs, before and after."""
    pairs = zip([*was, None], [*now, None], strict=False)
    one, other = next((a, b) for a, b in pairs if a != b)
    return " became ".join("nothing" if m is None else f"{m.role} {m.content[:40]!r}" for m in (one, other))
