"""What a data file holds, counted in one pass and bounded memory: sixteen bytes a record, whatever its length."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from boresight.data.pair_rows import PairRow
from boresight.data.pair_stream import goes_on_with_a_human, oddities, stream_pairs
from boresight.data.preferences import response_text
from boresight.data.readers import read_documents
from boresight.data.record_stream import kind_of_file, records_of, used_columns
from boresight.data.refusals import Refuse, stop
from boresight.data.sources import Source, open_source
from boresight.data.tables import container_of
from boresight.data.tally import Tally
from boresight.records import Messages

T = TypeVar("T")
Figures = dict[str, Any]
Progress = Callable[[int], None]
"""Told the number of records met so far."""

ODDITIES = ("identical", "empty_chosen", "empty_rejected", "context_differs")


@dataclass(frozen=True, slots=True)
class Inspection:
    """`figures` are those of the JSON contract; `examples` the first lines for each oddity found."""

    path: Path
    kind: str
    figures: Figures
    examples: Mapping[str, list[int]]
    unused_columns: tuple[str, ...]


def inspect_file(
    path: str | Path,
    *,
    form: str | None = None,
    columns: Mapping[str, str] | None = None,
    refuse: Refuse = stop,
    progress: Progress | None = None,
) -> Inspection:
    """Count what is in a file of any kind. Raises DataError for what `refuse` does not let pass."""
    path = Path(path)
    if container_of(path) == "text":
        return _inspect_documents(path)
    if kind_of_file(path, form=form, columns=columns) == "pairs":
        return _inspect_pairs(path, form, columns, refuse, progress)
    return _inspect_records(open_source(path, form=form, refuse=refuse), refuse, progress)


@dataclass
class _Lengths:
    """Sums over pairs, divided once at the end."""

    pairs: int = 0
    chosen: int = 0
    rejected: int = 0
    longer: int = 0
    shorter: int = 0

    def add(self, row: PairRow) -> None:
        chosen, rejected = len(response_text(row.pair.chosen)), len(response_text(row.pair.rejected))
        self.pairs += 1
        self.chosen += chosen
        self.rejected += rejected
        self.longer += chosen > rejected
        self.shorter += chosen < rejected

    def figures(self) -> Figures:
        told_apart = self.longer + self.shorter
        return {
            "mean_chars_chosen": _mean(self.chosen, self.pairs),
            "mean_chars_rejected": _mean(self.rejected, self.pairs),
            "chosen_longer": self.longer,
            "chosen_shorter": self.shorter,
            "longer_share": round(self.longer / told_apart, 4) if told_apart else None,
        }


@dataclass
class _Repeats:
    """How many records are the same, word for word, as an earlier one."""

    count: int = 0
    _seen: set[bytes] = field(default_factory=set)

    def add(self, *parts: Messages) -> None:
        digest = hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self.count += digest in self._seen
        self._seen.add(digest)


def _inspect_pairs(
    path: Path,
    form: str | None,
    columns: Mapping[str, str] | None,
    refuse: Refuse,
    progress: Progress | None,
) -> Inspection:
    stream = stream_pairs(path, form=form, columns=columns, refuse=refuse)
    tally, lengths, repeats = Tally(path), _Lengths(), _Repeats()
    turns_max = ties = 0
    for line, row in reported(stream, progress):
        for reason in oddities(row, ""):
            tally.note(reason, line)
        if goes_on_with_a_human(stream.source, row):
            tally.note("human_turn_in_response", line)
        lengths.add(row)
        repeats.add(row.pair.prompt, row.pair.chosen, row.pair.rejected)
        turns_max = max(turns_max, *(_turns(row.pair.prompt + side) for side in (row.pair.chosen, row.pair.rejected)))
        ties += row.pair.p_chosen == 0.5
    for reason, lines in stream.left_out.items():
        for line in lines:
            tally.note(reason, line)
    others = {reason: count for reason, count in tally.found.items() if reason not in ODDITIES}
    figures = {
        "format": stream.source.shown,
        "kind": "pairs",
        "rows": stream.source.read,
        "pairs": lengths.pairs,
        **{reason: tally.found.get(reason, 0) for reason in ODDITIES},
        "turns_max": turns_max,
        **lengths.figures(),
        "duplicates_exact": repeats.count,
        "ties": ties,
        **others,
    }
    return Inspection(path, "pairs", figures, tally.examples, stream.unused_columns)


def _inspect_records(source: Source, refuse: Refuse, progress: Progress | None) -> Inspection:
    if source.kind == "documents":
        return _inspect_documents(source.path)
    repeats = _Repeats()
    records = turns_max = chars = 0
    for _, record in reported(records_of(source, refuse), progress):
        records += 1
        repeats.add(record.messages)
        turns_max = max(turns_max, _turns(record.messages))
        chars += len(record.messages[-1].content.strip())
    figures = {
        "format": source.shown,
        "kind": source.kind,
        "rows": source.read,
        source.kind: records,
        "turns_max": turns_max,
        "mean_chars": _mean(chars, records),
        "duplicates_exact": repeats.count,
    }
    return Inspection(source.path, source.kind, figures, {}, source.unused(used_columns(source)))


def _inspect_documents(path: Path) -> Inspection:
    """Documents are read whole: a text file is one text, parted by blank lines."""
    read = read_documents(path)
    repeats = len(read.documents) - len(set(read.documents))
    figures = {
        "format": read.format,
        "kind": "documents",
        "rows": read.rows,
        "documents": len(read.documents),
        "mean_chars": _mean(sum(map(len, read.documents)), len(read.documents)),
        "duplicates_exact": repeats,
        **read.dropped,
    }
    return Inspection(path, "documents", figures, read.examples, read.unused_columns)


def reported(rows: Iterable[tuple[int, T]], progress: Progress | None, every: int = 10_000) -> Iterator[tuple[int, T]]:
    """The same rows; `progress` is told their number now and then."""
    for count, item in enumerate(rows, start=1):
        yield item
        if progress is not None and count % every == 0:
            progress(count)


def _turns(messages: Messages) -> int:
    """Turns of the human's."""
    return sum(message.role == "user" for message in messages)


def _mean(total: int, count: int) -> float | None:
    return round(total / count, 2) if count else None
