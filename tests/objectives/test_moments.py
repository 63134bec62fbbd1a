import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.objectives.moments import Moments, merge_moments, moments_of

numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=8)


@settings(deadline=None)
@given(batches=st.lists(numbers, min_size=1, max_size=5))
def test_moments_of_batches_are_those_of_all_numbers(batches: list[list[float]]) -> None:
    moments = Moments(0, 0.0, 0.0)
    for batch in batches:
        moments = merge_moments(moments, moments_of(torch.tensor(batch, dtype=torch.float64)))
    everything = [number for batch in batches for number in batch]
    assert moments.total == len(everything)
    assert moments.mean == pytest.approx(statistics.fmean(everything), abs=1e-9)
    assert moments.deviation == pytest.approx(statistics.pstdev(everything), abs=1e-6)


def test_a_far_mean_does_not_cancel_the_deviation() -> None:
    """A sum of squares less the square of the sum gives 0 or worse here."""
    moments = merge_moments(
        moments_of(torch.tensor([1e9, 1e9 + 2], dtype=torch.float64)),
        moments_of(torch.tensor([1e9 + 1, 1e9 + 1], dtype=torch.float64)),
    )
    assert moments.deviation == pytest.approx(0.5**0.5)


def test_no_numbers_have_no_deviation() -> None:
    assert moments_of(torch.tensor([])) == Moments(0, 0.0, 0.0)
    assert merge_moments(moments_of(torch.tensor([])), moments_of(torch.tensor([]))).deviation == 0.0
