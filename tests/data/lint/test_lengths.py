"""Length bias by part of the data, and answers that are the other one with padding."""

import pytest

from boresight.data.lint.lengths import LengthSums
from boresight.data.lint.run import lint
from tests.data.lint.making import found, ids, pair, sound_pairs

LONG, SHORT = "one two three four five six seven eight nine ten", "red green blue"


def test_standardised_difference_is_the_difference_of_means_in_pooled_deviations() -> None:
    """By hand: chosen 2, 4 (mean 3, variance 1), rejected 1, 3 (mean 2, variance 1); d = 1 / sqrt(1)."""
    sums = LengthSums()
    sums.add(2, 1)
    sums.add(4, 3)
    assert sums.standardised_difference() == pytest.approx(1.0)


def test_lengths_that_do_not_vary_have_no_standardised_difference() -> None:
    sums = LengthSums()
    sums.add(5, 5)
    assert sums.standardised_difference() == 0.0


def test_the_longer_answer_winning_is_a_warning_with_its_interval() -> None:
    pairs = [
        pair(n, f"question {n}", LONG, SHORT) if n % 5 else pair(n, f"question {n}", SHORT, LONG) for n in range(100)
    ]
    finding = found(pairs, "length_bias")
    assert finding is not None and finding.severity == "warning"
    part = finding.effect["parts"]["all pairs"]
    assert (part["untied"], part["rule"], part["rule_accuracy"]) == (100, "longer", 0.8)
    low, high = part["ci95"]  # Wilson by hand for 80 of 100: 0.711..0.867
    assert (low, high) == (pytest.approx(0.7112, abs=1e-4), pytest.approx(0.8666, abs=1e-4))
    assert "80.0%" in finding.message


def test_equal_lengths_on_both_sides_are_no_bias() -> None:
    pairs = [pair(n, f"question {n}", *((LONG, SHORT) if n % 2 else (SHORT, LONG))) for n in range(100)]
    finding = found(pairs, "length_bias")
    assert finding is not None and finding.severity == "note"


def test_parts_are_told_apart_so_that_opposite_biases_do_not_cancel() -> None:
    helpful = [pair(n, f"question {n}", LONG, SHORT, kind="helpful") for n in range(50)]
    harmless = [pair(n, f"question {n}", SHORT, LONG, kind="harmless") for n in range(50, 100)]
    finding = found(helpful + harmless, "length_bias")
    assert finding is not None and finding.severity == "warning"
    assert finding.effect["parts"]["helpful"]["longer_share"] == 1.0
    assert finding.effect["parts"]["harmless"]["longer_share"] == 0.0
    assert finding.effect["biased"] == ["helpful", "harmless"]


@pytest.mark.parametrize("field", [{"criteria": {"harmless": 1}}, {"source": "ai"}])
def test_criteria_and_source_part_the_data_too(field: dict[str, object]) -> None:
    pairs = [pair(n, "q", LONG, SHORT, **(field if n % 2 else {})) for n in range(10)]
    finding = found(pairs, "length_bias")
    assert finding is not None and len(finding.effect["parts"]) == 2


def test_splits_part_the_data_too() -> None:
    pairs = [pair(n, f"question {n}", LONG, SHORT) for n in range(4)]
    finding = lint({"train": pairs[:2], "test": pairs[2:]}).finding("length_bias")
    assert finding is not None and set(finding.effect["parts"]) == {"train", "test"}


def test_a_column_of_ids_as_kind_takes_no_memory() -> None:
    finding = found([pair(n, "q", LONG, SHORT, kind=f"kind {n}") for n in range(500)], "length_bias")
    assert finding is not None and len(finding.effect["parts"]) == 65


def test_padding_is_pointed_at() -> None:
    padded = [
        pair(n, f"q {n}", f"Turn valve {n} by two. I am happy to help you today.", f"Turn valve {n} by two.")
        for n in (1, 2)
    ]
    pairs = [
        *sound_pairs(20),
        *(
            pair(100 + p.rejected[0].content.count(" ") + n, "q", p.chosen[0].content, p.rejected[0].content)
            for n, p in enumerate(padded)
        ),
    ]
    finding = found(pairs, "padded_chosen")
    assert finding is not None and finding.severity == "warning"
    assert ids(pairs, finding) == [pairs[20].id, pairs[21].id]


def test_padding_of_the_rejected_answer_is_none_of_the_chosen_one() -> None:
    pairs = [pair(1, "q", "Turn the valve twice.", "Turn the valve twice. I am happy to help you today.")]
    assert found(pairs, "padded_chosen") is None


def test_a_word_of_one_letter_less_is_no_shorter_answer() -> None:
    """The chosen one is shorter each time, by the letter between "No" and "Yes"; a few others differ either way."""
    same = "a container over its limit is stopped and started again by the node."
    pairs = [pair(n, f"question {n}", f"No, {same} {n}", f"Yes, {same} {n}") for n in range(100)]
    pairs += [pair(n, f"question {n}", *((LONG, SHORT) if n % 2 else (SHORT, LONG))) for n in range(100, 140)]
    finding = found(pairs, "length_bias")
    assert finding is not None and finding.severity == "note"
    assert finding.effect["parts"]["all pairs"]["rule"] == "shorter"
