"""The records of a file of pairs, demonstrations or prompts, one after the other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from boresight.data.pair_stream import stream_pairs
from boresight.data.readers import records_of
from boresight.data.refusals import Refuse, stop
from boresight.data.sources import Source, open_source
from boresight.errors import DataError
from boresight.records import Demonstration, PreferencePair, Prompt

Record = PreferencePair | Demonstration | Prompt


@dataclass
class RecordStream:
    """`records` with the lines of their rows; `left_out` holds lines of rows that make none, by reason, and is whole
    when all have been read."""

    source: Source
    records: Iterator[tuple[int, Record]]
    left_out: dict[str, list[int]] = field(default_factory=dict)


def stream_records(
    path: Path,
    *,
    form: str | None = None,
    columns: Mapping[str, str] | None = None,
    refuse: Refuse = stop,
    keep_rest: bool = False,
) -> RecordStream:
    """The records of a file of any kind but documents. With `keep_rest` what is not read goes into `meta`."""
    kind = kind_of_file(path, form=form, columns=columns)
    if kind == "pairs":
        stream = stream_pairs(path, form=form, columns=columns, refuse=refuse, keep_rest=keep_rest)
        pairs: Iterator[tuple[int, Record]] = ((line, row.pair) for line, row in stream)
        return RecordStream(stream.source, pairs, stream.left_out)
    source = open_source(path, form=form, refuse=refuse)
    return RecordStream(source, records_of(source, refuse, keep_rest=keep_rest))


def kind_of_file(path: Path, *, form: str | None = None, columns: Mapping[str, str] | None = None) -> str:
    """Whether a file holds pairs, demonstrations, prompts or documents. Rows that cannot be read are passed over: the
    reading itself tells them."""
    return open_source(path, form=form, columns=columns, refuse=_pass_over).kind


def _pass_over(error: DataError, line: int, found: object) -> None:
    return None
