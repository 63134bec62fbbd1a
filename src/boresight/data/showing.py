"""A record as a model will see it: rendered by its chat template, cut into what is trained and what is not.

A demonstration trains every assistant turn; of a pair the prompt is context, also where it holds earlier answers, and
each response is trained up to its stop token; of a prompt nothing is trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from boresight.data.chat_template import ChatFormat, Segment
from boresight.data.record_stream import Record, stream_records
from boresight.data.tokenize import encode_conversation, encode_pair, encode_prompt, probe_mask
from boresight.errors import DataError
from boresight.records import Demonstration, Message, PreferencePair


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of rendered text; joined, its segments are what the model reads. Counts are in tokens."""

    title: str
    segments: tuple[Segment, ...]
    tokens: int
    trained_tokens: int


def first_records(
    path: Path,
    *,
    count: int,
    record_id: str | None = None,
    form: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> list[tuple[int, Record]]:
    """The first records of a file with their lines, or the one with this id. Raises DataError where it is absent."""
    stream = stream_records(path, form=form, columns=columns)
    if record_id is None:
        return list(islice(stream.records, count))
    found = next((item for item in stream.records if item[1].id == record_id), None)
    if found is None:
        raise DataError(
            f"{path}: no record has the id {record_id!r} ({stream.source.read} rows read). Records without an id are "
            "called by file name and line, as pairs:12."
        )
    return [found]


def rendered(chat_format: ChatFormat, record: Record, where: str) -> tuple[Part, ...]:
    """The parts of a record as the model reads them. Raises the errors of `boresight.data.tokenize`."""
    if isinstance(record, PreferencePair):
        return _pair_parts(chat_format, record, where)
    if isinstance(record, Demonstration):
        encoded = encode_conversation(chat_format, record.messages, record_id=where)
        segments = tuple(chat_format.segments(record.messages))
        return (Part("conversation", segments, len(encoded.input_ids), sum(encoded.response_mask)),)
    ids = encode_prompt(chat_format, record.messages, record_id=where)
    text = chat_format.render_prompt(record.messages)
    return (Part("prompt", ((text, False),), len(ids), 0),)


def checked_format(chat_format: ChatFormat) -> ChatFormat:
    """The format, after the probe dialogue has shown that its mask is right. Raises ModelError where it is not."""
    probe_mask(chat_format)
    return chat_format


def _pair_parts(chat_format: ChatFormat, pair: PreferencePair, where: str) -> tuple[Part, ...]:
    try:
        encoded = encode_pair(chat_format, pair)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    parts = [Part("prompt", ((chat_format.render_prompt(pair.prompt), False),), len(encoded.prompt_ids), 0)]
    for title, side, ids in (
        ("chosen", pair.chosen, encoded.chosen_ids),
        ("rejected", pair.rejected, encoded.rejected_ids),
    ):
        segments = chat_format.segments((*pair.prompt, Message("assistant", side[0].content)))
        answer = next(text for text, trained in reversed(segments) if trained)
        parts.append(Part(title, ((answer, True),), len(ids), len(ids)))
    return tuple(parts)
