"""Answers that cannot teach."""

import pytest

from boresight.data.lint.run import lint
from tests.data.lint.making import demonstration, found, ids, pair, sound_pairs

CUT = "the pump runs at four bar and then the gate opens and the water flows down into the lower basin where it is"


def test_sound_pairs_have_no_finding_above_note() -> None:
    assert [f.id for f in lint({"data": sound_pairs(80)}).findings if f.severity != "note"] == []


def test_equal_answers_are_an_error_and_the_lint_does_not_pass() -> None:
    pairs = [*sound_pairs(3), pair(9, "q", " same ", "same")]
    done = lint({"data": pairs})
    finding = done.finding("identical_answers")
    assert ids(pairs, finding) == ["p9"]
    assert finding is not None and finding.severity == "error" and not done.passed
    assert finding.share == pytest.approx(0.25) and finding.examples == ("p9",)


def test_empty_answers_are_counted_by_side() -> None:
    finding = found([pair(1, "q", "", "b"), pair(2, "q", "a", " \n"), pair(3, "q", "a", "b")], "empty_answer")
    assert finding is not None and finding.severity == "error"
    assert (finding.count, finding.effect) == (2, {"chosen": 1, "rejected": 1})


def test_two_empty_answers_are_empty_not_identical() -> None:
    assert found([pair(1, "q", "", "")], "identical_answers") is None


@pytest.mark.parametrize(("end", "cut_off"), [("", True), (",", True), (".", False), ("!”", False), ("`", False)])
def test_an_answer_that_stops_without_an_end_looks_cut_off(end: str, cut_off: bool) -> None:
    assert (found([pair(1, "q", CUT + end, "b")], "truncated_answer") is not None) is cut_off


def test_a_short_answer_needs_no_full_stop() -> None:
    assert found([pair(1, "q", "four bar", "b")], "truncated_answer") is None


@pytest.mark.parametrize(
    "text", ["I'm sorry, but I can't help with that.", "I cannot provide this.", "I won’t discuss it."]
)
def test_refusals_are_counted_by_side(text: str) -> None:
    finding = found([pair(1, "q", text, "Do this."), pair(2, "q", "Do this.", text)], "refusal")
    assert finding is not None and finding.effect == {"chosen": 1, "rejected": 1, "rejected_only": 1}


def test_refusals_in_demonstrations_speak_of_no_chosen_answer() -> None:
    finding = found([demonstration(1, "q", "I cannot provide this."), demonstration(2, "q", "Do this.")], "refusal")
    assert finding is not None and finding.message == "answers that open with a refusal: 1 row (50.0%)"


def test_an_answer_that_speaks_of_refusing_later_is_no_refusal() -> None:
    text = "Open the valve. " * 30 + "I cannot help you with the gate."
    assert found([pair(1, "q", text, "b")], "refusal") is None


def test_ties_are_found_by_soft_label_and_by_strength() -> None:
    pairs = [
        pair(1, "q", "a", "b", p_chosen=0.5),
        pair(2, "q", "a", "b", strength=0),
        pair(3, "q", "a", "b", p_chosen=0.6),
    ]
    assert ids(pairs, found(pairs, "tie")) == ["p1", "p2"]


def test_demonstrations_are_looked_at_too() -> None:
    records = [demonstration(1, "q", CUT), demonstration(2, "q", "Done.")]
    assert ids(records, found(records, "truncated_answer")) == ["d1"]
