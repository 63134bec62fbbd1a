"""Labels of people find the couples they are of, in whatever order and form they were written."""

import json
from pathlib import Path

import pytest

from boresight.data.jsonl import write_records
from boresight.errors import DataError
from boresight.feedback.human_votes import HumanLabel, HumanVotes, matched, read_human_votes

from .planted_couples import Planted, planted_couples, vote

COUPLES = [couple for couple, _ in planted_couples(4, Planted())]


def test_votes_on_one_couple_add_up_whichever_side_they_name() -> None:
    one = COUPLES[0]
    people = HumanVotes([vote(one, 1), vote(one, 2), vote(one, 1, p=0.75, votes=4), vote(one, 2, p=0.5)])
    label = people.of(one)
    assert label is not None and label.votes == 7
    assert label.p_a == pytest.approx((1 + 0 + 3 + 0.5) / 7) and label.label == 1
    assert people.of(COUPLES[1]) is None and len(people) == 1 and people.unmatched(COUPLES[1:]) == 1


def test_the_label_of_people_is_what_most_of_them_say() -> None:
    assert HumanLabel(1, 0, 2).label == 0 and HumanLabel(1, 0, 2).p_a == pytest.approx(2 / 3)
    assert HumanLabel(2, 0, 1).label == 1 and HumanLabel(1, 1).label == 0 == HumanLabel(1, 0, 1).label
    assert HumanLabel(1, 3).turned() == HumanLabel(3, 1) and HumanLabel(1, 3).label == 2


def test_rows_that_were_asked_are_read_with_the_ranks_that_people_gave(tmp_path: Path) -> None:
    rows = [
        {
            "id": c.id,
            "prompt": [{"role": "user", "content": c.prompt[0].content}],
            "responses": [c.b, c.a],
            "ranks": ranks,
        }
        for c, ranks in zip(COUPLES, ([1, 2], [2, 1], [1, 1]), strict=False)
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    people = read_human_votes([tmp_path / "answers.jsonl"])
    found = [people.of(c) for c in COUPLES]
    assert [None if label is None else label.label for label in found] == [2, 1, 0, None]


def test_labels_of_a_machine_and_of_other_couples_are_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    path = tmp_path / "people.jsonl"
    write_records(path, [replace(vote(COUPLES[0], 1), source="ai")])
    with pytest.raises(DataError, match=r"people\.jsonl \(id c0\): source is ai"):
        read_human_votes([path])
    write_records(path, [vote(COUPLES[0], 1)])
    with pytest.raises(DataError, match="none of its 1 couples is among the 3"):
        matched(COUPLES[1:], read_human_votes([path]), {"people": "people.jsonl", "judged": "judged.jsonl"})
