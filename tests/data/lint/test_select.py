"""Rows that findings point at."""

import pytest

from boresight.data.lint.select import rows_of_findings
from boresight.errors import DataError
from tests.data.lint.making import pair, sound_pairs

PAIRS = [*sound_pairs(3), pair(9, "q", "same", "same"), pair(10, "q", "", "b")]


def test_rows_of_several_findings() -> None:
    assert rows_of_findings(PAIRS, ["identical_answers", "empty_answer"]) == {3: "identical_answers", 4: "empty_answer"}


def test_a_finding_that_is_not_there_has_no_rows() -> None:
    assert rows_of_findings(PAIRS, ["secret_key"]) == {}


@pytest.mark.parametrize(
    ("finding_id", "message"),
    [
        ("identical_answer", "did you mean 'identical_answers'"),
        ("xyz", "known ids: identical_answers"),
        ("no_small_talk", "about the data as a whole"),
        ("contamination", "--eval"),
    ],
)
def test_other_ids_are_refused(finding_id: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows_of_findings(PAIRS, [finding_id])
