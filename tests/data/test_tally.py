from pathlib import Path

import pytest

from boresight.data.tally import Tally
from boresight.errors import DataError


def test_a_row_is_dropped_for_its_first_reason_only_and_noted_for_all() -> None:
    tally = Tally(Path("f"))
    assert not tally.judge({"a": "first", "b": "second"}, {"a": "drop", "b": "drop"}, line=7)
    assert tally.judge({"b": "second"}, {"b": "keep"}, line=8)
    assert (tally.found, tally.dropped, tally.examples) == ({"a": 1, "b": 2}, {"a": 1}, {"a": [7], "b": [7, 8]})
    tally.raise_refusals()  # nothing was refused


def test_a_refusal_outweighs_a_drop() -> None:
    tally = Tally(Path("f"))
    assert not tally.judge({"a": "first", "b": "second"}, {"a": "drop", "b": "error"}, line=7)
    assert tally.dropped == {}
    with pytest.raises(DataError, match=r"^second$"):
        tally.raise_refusals()


def test_whoever_sets_rows_aside_is_told_of_each_that_is_dropped() -> None:
    told = []
    tally = Tally(Path("f"), lambda error, line, found: told.append((str(error), line, found)))
    tally.judge({"a": "first", "b": "second"}, {"a": "keep", "b": "drop"}, line=7)
    tally.judge({"a": "first"}, {"a": "error"}, line=8)
    tally.leave_out("duplicate", line=9)
    assert told == [("second", 7, None), ("f:9: left out: duplicate", 9, None)]
