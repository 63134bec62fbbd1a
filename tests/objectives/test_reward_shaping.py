import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.objectives.reward_shaping import combine_members, with_length_cost, with_stop_penalty

properties = settings(deadline=None, max_examples=30)
scores = st.floats(-10, 10)


def members(rows: int, columns: int) -> st.SearchStrategy[list[list[float]]]:
    return st.lists(st.lists(scores, min_size=columns, max_size=columns), min_size=rows, max_size=rows)


def test_members_are_combined_as_by_hand() -> None:
    given_scores = torch.tensor([[1.0, -2.0, 0.5], [3.0, -2.0, 1.5]])
    assert combine_members(given_scores, "mean").tolist() == [2.0, -2.0, 1.0]
    assert combine_members(given_scores, "min").tolist() == [1.0, -2.0, 0.5]
    # Deviations over the two members, divided by their number: 1, 0 and 0.5.
    assert combine_members(given_scores, "mean_minus_deviation", deviation_weight=2.0).tolist() == [0.0, -2.0, 0.0]


@properties
@given(rows=members(4, 3), weight=st.floats(0, 3))
def test_members_are_combined_as_the_standard_library_does(rows: list[list[float]], weight: float) -> None:
    got = combine_members(
        torch.tensor(rows, dtype=torch.float64), "mean_minus_deviation", deviation_weight=weight
    ).tolist()
    columns = list(zip(*rows, strict=True))
    assert got == pytest.approx([statistics.fmean(c) - weight * statistics.pstdev(c) for c in columns], abs=1e-6)


@properties
@given(rows=members(3, 4), shift=st.floats(-5, 5))
@pytest.mark.parametrize("combine", ["mean", "min", "mean_minus_deviation"])
def test_order_of_members_changes_nothing_and_a_common_shift_shifts(
    combine: str, rows: list[list[float]], shift: float
) -> None:
    values = torch.tensor(rows, dtype=torch.float64)
    combined = combine_members(values, combine)  # type: ignore[arg-type]
    torch.testing.assert_close(combine_members(values.flip(0), combine), combined)  # type: ignore[arg-type]
    torch.testing.assert_close(combine_members(values + shift, combine), combined + shift)  # type: ignore[arg-type]
    assert (combined <= values.mean(0) + 1e-9).all()


def test_one_member_is_no_ensemble() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 3\); expected \(members, responses\), two members at least"):
        combine_members(torch.zeros(1, 3), "min")


def test_length_costs_as_by_hand() -> None:
    score, lengths = torch.tensor([2.0, 2.0, -1.0]), torch.tensor([4.0, 10.0, 2.0])
    assert with_length_cost(score, lengths).tolist() == [2.0, 2.0, -1.0]
    assert with_length_cost(score, lengths, penalty=0.25).tolist() == [1.0, -0.5, -1.5]
    assert with_length_cost(score, lengths, penalty=0.25, free_tokens=4).tolist() == [2.0, 0.5, -1.0]
    assert with_length_cost(score, lengths, normalized=True).tolist() == [0.5, pytest.approx(0.2), -0.5]


@properties
@given(row=st.lists(st.tuples(scores, st.integers(1, 50)), min_size=1, max_size=5), penalty=st.floats(0, 1))
def test_of_two_equal_scores_the_longer_response_never_gains_by_a_penalty(
    row: list[tuple[float, int]], penalty: float
) -> None:
    score, lengths = (torch.tensor(column, dtype=torch.float64) for column in zip(*row, strict=True))
    paid = with_length_cost(score, lengths, penalty=penalty, free_tokens=3)
    longer = with_length_cost(score, lengths + 1, penalty=penalty, free_tokens=3)
    assert (longer <= paid + 1e-12).all()


def test_missing_stop_token_takes_the_place_of_the_score_or_is_subtracted() -> None:
    score, stopped = torch.tensor([2.0, 3.0, -5.0]), torch.tensor([True, False, False])
    assert with_stop_penalty(score, stopped, 1.5).tolist() == [2.0, -1.5, -1.5]
    assert with_stop_penalty(score, stopped, 1.5, "subtract").tolist() == [2.0, 1.5, -6.5]
    for how in ("replace", "subtract"):
        assert with_stop_penalty(score, stopped, None, how).tolist() == [2.0, 3.0, -5.0]  # type: ignore[arg-type]
