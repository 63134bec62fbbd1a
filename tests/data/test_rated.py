import json
from pathlib import Path
from typing import Any

import pytest

from boresight.data.rated import both_sides, read_rated
from boresight.errors import DataError
from boresight.records import Message, PreferencePair, RatedResponse

U, GOOD, BAD = Message("user", "Hi"), Message("assistant", "Hello."), Message("assistant", "No.")


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_unpaired_rows_are_taken_one_by_one_also_without_a_counterpart(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Hi", "completion": text, "label": good} for text, good in (("a", True), ("b", True), ("c", False))
    ]
    file = read_rated(lines(tmp_path / "k.jsonl", *rows))
    assert [(r.id, r.response[0].content, r.desirable) for r in file.rated] == [
        ("k:1", "a", True), ("k:2", "b", True), ("k:3", "c", False),
    ]  # fmt: skip
    assert file.rated[0].prompt == (U,) and (file.rows, file.dropped) == (3, {})


def test_pairs_give_both_of_their_sides(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", {"id": "p", "prompt": "Hi", "chosen": "Hello.", "rejected": "No."})
    assert read_rated(path).rated == [
        RatedResponse(id="p/chosen", prompt=(U,), response=(GOOD,), desirable=True),
        RatedResponse(id="p/rejected", prompt=(U,), response=(BAD,), desirable=False),
    ]


def test_soft_label_is_refused_since_it_says_nothing_of_one_response() -> None:
    pair = PreferencePair(id="p", prompt=(U,), chosen=(GOOD,), rejected=(BAD,), p_chosen=0.7)
    with pytest.raises(DataError, match=r"pair 'p': p_chosen is 0\.7, a soft label"):
        both_sides([pair])


def test_odd_rows_fare_as_the_choices_say(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Hi", "completion": "a", "label": True},
        {"prompt": "Hi", "completion": " ", "label": False},
        {"prompt": "Hi", "completion": "b", "label": "perhaps"},
        {"id": "k:1", "prompt": "Hi", "completion": "c", "label": False},
    ]
    path = lines(tmp_path / "k.jsonl", *rows)
    with pytest.raises(DataError, match=r'k\.jsonl:3: "label" is .perhaps., expected true or false'):
        read_rated(path)
    with pytest.raises(DataError, match=r"k\.jsonl:2: the completion is empty"):
        read_rated(path, on_unreadable="drop")
    file = read_rated(path, on_unreadable="drop", on_empty="drop")
    assert len(file.rated) == 1 and file.dropped == {"unreadable": 2, "empty_response": 1}


@pytest.mark.parametrize("unpaired", [True, False])
def test_each_row_that_is_left_out_is_told_with_its_line_and_content(tmp_path: Path, unpaired: bool) -> None:
    sides = [("a", True), (" ", False)] if unpaired else [("a", "b"), (" ", "b"), ("a", 7)]
    names = ("completion", "label") if unpaired else ("chosen", "rejected")
    rows = [{"prompt": "Hi", **dict(zip(names, side, strict=True))} for side in sides]
    path = lines(tmp_path / "k.jsonl", *rows)
    with path.open("a") as stream:
        stream.write("{half a row\n")
    told: dict[int, tuple[str, Any]] = {}
    file = read_rated(
        path, on_unreadable="drop", on_empty="drop",
        aside=lambda error, line, row: told.update({line: (str(error), row)}),
    )  # fmt: skip
    assert sum(file.dropped.values()) == len(told) == len(sides)
    assert "k.jsonl:2" in told[2][0] and "is empty" in told[2][0] and told[2][1]["prompt"][0]["content"] == "Hi"
    assert told[len(sides) + 1][1] == "{half a row"
