"""The file of judged couples: what it keeps, and what it refuses."""

import json
from pathlib import Path

import pytest

from boresight.errors import DataError
from boresight.feedback.ai_labels import label_responses
from boresight.feedback.judged_couples import couple_of, read_judged_couples, write_judged

from .planted_couples import JUDGE, Planted, planted_couples
from .test_ai_labels import FirstIsBetter, LongerIsBetter, response


def test_couples_come_back_as_they_were_written(tmp_path: Path) -> None:
    couples = [couple for couple, _ in planted_couples(20, Planted(position=0.5, failures=0.2))]
    path = tmp_path / "judged.jsonl"
    write_judged(path, couples, JUDGE)
    read = read_judged_couples(path)
    assert list(read.couples) == couples and read.judge == JUDGE and len(read.sha256) == 64


def test_verdicts_are_turned_to_the_response_that_is_listed_first() -> None:
    responses = [response("p", 0, "a longer text"), response("p", 1, "short")]
    for judge, verdicts, label in ((LongerIsBetter(), (1.0, 1.0), 1), (FirstIsBetter(), (1.0, 0.0), 0)):
        (one,) = label_responses(responses, judge, pairs_per_prompt=1).compared
        couple = couple_of(one)
        assert (couple.given, couple.swapped) == verdicts and couple.label == label
        assert couple.p_a == sum(verdicts) / 2 and couple.agrees == bool(label)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"verdicts": [1.0, 2.0]}, 'judged.jsonl:2: "verdicts": found 2'),
        ({"responses": ["one"]}, '"responses" is .*expected a list of two'),
        ({"judge": {"judge": "other"}}, "a file holds one judge"),
        ({"stopped": [True, 1]}, "two of true and false"),
        ({"id": "c0"}, "ids must differ"),
        ({"judge": "gpt"}, "an object that tells who judged"),
    ],
)
def test_rows_that_are_none_are_refused_with_their_line(tmp_path: Path, change: dict[str, object], says: str) -> None:
    path = tmp_path / "judged.jsonl"
    write_judged(path, [couple for couple, _ in planted_couples(2, Planted())], JUDGE)
    first, second = map(json.loads, path.read_text().splitlines())
    path.write_text(json.dumps(first) + "\n" + json.dumps(second | change) + "\n")
    with pytest.raises(DataError, match=says):
        read_judged_couples(path)


def test_file_without_couples_or_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "judged.jsonl"
    path.write_text("")
    with pytest.raises(DataError, match="no judged couple"):
        read_judged_couples(path)
    path.write_text('{"id": "x", "prompt": "y"}\n')
    with pytest.raises(DataError, match='"prompt_id" is missing'):
        read_judged_couples(path)
