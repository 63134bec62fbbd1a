"""Published verdicts become couples with people's labels; what is none of the forms is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from boresight.errors import DataError
from boresight.evaluation.published_verdicts import is_published, read_published

JUDGE_BENCH = {
    "question": "Why?", "response_A": "so", "response_B": "thus", "label": "B>A",
    "judgments": [{"decision": "B>A"}, {"decision": "B>A"}],
}  # fmt: skip
PANDALM = {"idx": 3, "instruction": "Say", "input": "it", "response1": "a", "response2": "b", "annotator1": "1",
           "annotator2": "0", "annotator3": "0"}  # fmt: skip


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


def test_judge_bench_is_read_in_both_orders(tmp_path: Path) -> None:
    """The second judgment saw the two exchanged, so that its B is the first of the list."""
    path = written(tmp_path, "outputs.jsonl", [JUDGE_BENCH, JUDGE_BENCH | {"judgments": [{"decision": "A>B"}, None]}])
    assert is_published(path)
    (one, human), (two, _) = read_published(path)
    assert (one.given, one.swapped, one.label, human.label) == (0.0, 1.0, 0, 2)
    assert (one.a, one.b, one.prompt[-1].content) == ("so", "thus", "Why?")
    assert (two.given, two.swapped, two.failure, two.label) == (1.0, None, "unreadable", None)


def test_label_of_three_raters_is_what_most_say_and_what_is_no_word_fails(tmp_path: Path) -> None:
    path = written(tmp_path, "set.jsonl", [PANDALM, PANDALM | {"idx": 4}])
    verdicts = [{"idx": 4, "own_result": "Tie"}, {"idx": 3, "own_result": "garbage"}]
    (one, human), (two, _) = read_published(path, written(tmp_path, "verdicts.jsonl", verdicts))
    assert human.label == 0 and human.p_a == pytest.approx(2 / 3)
    assert (one.label, one.failure) == (None, "unreadable") and (two.label, two.p_a) == (0, 0.5)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([PANDALM | {"annotator2": "good"}], r"idx 3\): labels .*expected of each rater 1 or 2"),
        ([PANDALM, {k: v for k, v in PANDALM.items() if k != "response2"} | {"idx": 4}], "row 4: no two responses"),
    ],
)
def test_rows_that_say_nothing_of_two_responses_are_refused(
    tmp_path: Path, rows: list[dict[str, Any]], says: str
) -> None:
    verdicts = written(tmp_path, "verdicts.jsonl", [{"idx": row["idx"], "own_result": "1"} for row in rows])
    with pytest.raises(DataError, match=says):
        read_published(written(tmp_path, "set.jsonl", rows), verdicts)
