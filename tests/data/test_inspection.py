"""What `inspect_file` counts, by hand and against the published figures."""

import json
from pathlib import Path
from typing import Any

import pytest

from boresight.data.conversion import convert_file
from boresight.data.inspection import inspect_file
from boresight.data.refusals import RowsAside
from boresight.errors import DataError


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def pair(chosen: str, rejected: str, **more: Any) -> dict[str, Any]:
    return {"prompt": "Hi", "chosen": chosen, "rejected": rejected, **more}


def test_pairs_are_counted_by_hand(tmp_path: Path) -> None:
    """Lengths without white space at the ends: chosen 3, 1, 0, 4, 3 of 5; rejected 1, 3, 2, 4, 1."""
    rows = [
        pair("abc", "a "),
        pair("a", "abc"),
        pair(" ", "ab"),
        pair("same", "same"),
        pair("abc", "a "),
    ]
    figures = inspect_file(lines(tmp_path / "p.jsonl", *rows, pair("x", "y", p_chosen=0.5))).figures
    assert figures == {
        "format": "trl_explicit", "kind": "pairs", "rows": 6, "pairs": 6,
        "identical": 1, "empty_chosen": 1, "empty_rejected": 0, "context_differs": 0, "turns_max": 1,
        "mean_chars_chosen": 2.0, "mean_chars_rejected": 2.0,
        "chosen_longer": 2, "chosen_shorter": 2, "longer_share": 0.5, "duplicates_exact": 1, "ties": 1,
    }  # fmt: skip


def test_examples_name_the_first_lines_of_an_oddity(tmp_path: Path) -> None:
    inspected = inspect_file(
        lines(tmp_path / "p.jsonl", pair("a", "b"), *[pair("a", "a")] * 7, {**pair("a", "b"), "note": 1})
    )
    assert inspected.examples["identical"] == [2, 3, 4, 5, 6]
    assert inspected.unused_columns == ("note",)


def test_turns_are_those_of_the_human_in_the_longer_conversation(tmp_path: Path) -> None:
    row = {
        "chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
        "rejected": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: e\n\nHuman: f\n\nAssistant: g",
    }
    figures = inspect_file(lines(tmp_path / "hh.jsonl", row)).figures
    assert (figures["format"], figures["turns_max"], figures["context_differs"]) == ("hh_rlhf", 3, 1)


def test_a_converted_file_counts_the_same(tmp_path: Path) -> None:
    differing = {"chosen": "\n\nHuman: A\n\nAssistant: B", "rejected": "\n\nHuman: C\n\nAssistant: D"}
    usual = {"chosen": "\n\nHuman: A\n\nAssistant: B", "rejected": "\n\nHuman: A\n\nAssistant: D"}
    figures = inspect_file(lines(tmp_path / "hh.jsonl", differing, usual)).figures
    assert figures["context_differs"] == 1
    for to in ("boresight", "trl_conversational", "openai", "sharegpt"):
        convert_file(tmp_path / "hh.jsonl", to, tmp_path / "o.jsonl")
        again = inspect_file(tmp_path / "o.jsonl").figures
        assert {**again, "format": "hh_rlhf"} == figures


def test_demonstrations_prompts_and_documents_are_counted(tmp_path: Path) -> None:
    rows = [
        {"question": "Hi", "answer": "Hello."},
        {"question": "Hi", "answer": "Hello."},
        {"question": "a", "answer": "b"},
    ]
    figures = inspect_file(lines(tmp_path / "d.jsonl", *rows)).figures
    assert figures == {
        "format": "question_answer", "kind": "demonstrations", "rows": 3, "demonstrations": 3, "turns_max": 1,
        "mean_chars": 4.33, "duplicates_exact": 1,
    }  # fmt: skip
    figures = inspect_file(lines(tmp_path / "q.jsonl", {"prompt": "Hi"}, {"prompt": "Why?"})).figures
    assert (figures["kind"], figures["prompts"], figures["mean_chars"]) == ("prompts", 2, 3.0)
    (tmp_path / "t.txt").write_text("One.\n\nTwo.\n\nOne.\n")
    figures = inspect_file(tmp_path / "t.txt").figures
    assert (figures["documents"], figures["duplicates_exact"], figures["format"]) == (3, 1, "text")


def test_the_first_bad_row_stops_or_all_of_them_stand_aside(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", "{", pair("a", "b"), {"prompt": "Hi", "chosen": "a"})
    with pytest.raises(DataError, match=r"p\.jsonl:1: not valid JSON"):
        inspect_file(path)
    with RowsAside() as aside:
        figures = inspect_file(path, refuse=aside).figures
        assert (aside.count, figures["rows"], figures["pairs"]) == (2, 3, 1)
    with pytest.raises(DataError, match=r"q\.jsonl:1: not valid JSON"), RowsAside() as aside:
        inspect_file(lines(tmp_path / "q.jsonl", "{"), refuse=aside)


def test_progress_is_told(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text((json.dumps(pair("a", "b")) + "\n") * 20_001)
    told: list[int] = []
    inspect_file(path, progress=told.append)
    assert told == [10_000, 20_000]
