"""Responses called good or bad one by one: TRL's unpaired rows as they are, and both sides of preference pairs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from boresight.data.pair_stream import take_id
from boresight.data.readers import FileReading, read_pairs
from boresight.data.refusals import Refuse, pass_over, stop
from boresight.data.sources import open_source
from boresight.data.tally import Choice, Tally
from boresight.data.unpaired import KEYS, unpaired_row
from boresight.errors import DataError
from boresight.records import PreferencePair, RatedResponse

UNPAIRED = "trl_unpaired"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedFile(FileReading):
    """Responses rated good or bad, as one file holds them."""

    rated: list[RatedResponse]


def read_rated(
    path: str | Path,
    *,
    on_identical: Choice = "error",
    on_empty: Choice = "error",
    on_context_differs: Choice = "error",
    on_unreadable: Literal["error", "drop"] = "error",
    aside: Refuse = pass_over,
) -> RatedFile:
    """Rated responses of a file: every row of `prompt`, `completion` and `label`; of any other form the chosen response
    of each pair as a good one and the rejected as a bad one. Odd rows fare as the choices say, as in `read_pairs`, and
    `aside` is told of each that is left out."""
    path = Path(path)
    tally = Tally(path, aside)

    def drop(error: DataError, line: int, found: object) -> None:
        tally.leave_out("unreadable", line, error, found)

    refuse = stop if on_unreadable == "error" else drop
    source = open_source(path, pairs=True, refuse=refuse)
    if source.form != UNPAIRED:
        file = read_pairs(
            path,
            on_identical=on_identical,
            on_empty=on_empty,
            on_context_differs=on_context_differs,
            on_unreadable=on_unreadable,
            aside=aside,
        )
        return RatedFile(
            format=file.format,
            rows=file.rows,
            rated=both_sides(file.pairs),
            dropped=file.dropped,
            examples=file.examples,
            unused_columns=file.unused_columns,
        )
    rated: list[RatedResponse] = []
    line_of: dict[str, int] = {}
    for line, row in source.rows:
        try:
            item = unpaired_row(row, f"{path}:{line}", line, source.next_id(line))
            take_id(path, item.record_id, line, line_of)
        except DataError as error:
            refuse(error, line, row)
            continue
        empty = {} if item.completion[-1].content.strip() else {"empty_response": _empty(path, line)}
        response = RatedResponse(id=item.record_id, prompt=item.prompt, response=item.completion, desirable=item.label)
        if tally.judge(empty, {"empty_response": on_empty}, line, response):
            rated.append(response)
    tally.raise_refusals()
    return RatedFile(
        format=source.shown,
        rows=source.read,
        rated=rated,
        dropped=tally.dropped,
        examples=tally.examples,
        unused_columns=source.unused(KEYS),
    )


def both_sides(pairs: Iterable[PreferencePair]) -> list[RatedResponse]:
    """Of each pair the chosen response as a good one and the rejected as a bad one. DataError for a soft label: it says
    how sure people were of the one against the other, and nothing of either by itself."""
    rated = []
    for pair in pairs:
        if pair.p_chosen != 1.0:
            raise DataError(
                f"pair {pair.id!r}: p_chosen is {pair.p_chosen:g}, a soft label, which cannot be told of one response "
                "alone; expected 1. Give hard labels (`filters: {ties: drop}` of a preferences stage leaves ties "
                "out), or train by dpo, which uses them."
            )
        for name, messages, desirable in (("chosen", pair.chosen, True), ("rejected", pair.rejected, False)):
            rated.append(
                RatedResponse(id=f"{pair.id}/{name}", prompt=pair.prompt, response=messages, desirable=desirable)
            )
    return rated


def _empty(path: Path, line: int) -> str:
    return (
        f"{path}:{line}: the completion is empty; expected text. Correct the record, or set `on_empty: drop` to leave "
        "such rows out (the count is reported)."
    )
