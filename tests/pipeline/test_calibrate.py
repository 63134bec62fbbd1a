"""The measurements of `boresight plan --calibrate`, on models of hardly any size."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from boresight.pipeline import calibrate
from boresight.training.usage import memory_gib, peak_gib, reset_peak

SIZES = {"hidden_size": 32, "intermediate_size": 64, "layers": 2}


def test_training_scoring_and_sampling_are_timed() -> None:
    policy, shape = calibrate._policy(**SIZES)
    assert shape.parameters == sum(p.numel() for p in policy.model.parameters())
    for seconds in (
        calibrate._train_seconds(policy, "float32", steps=3),
        calibrate._train_seconds(policy, "bfloat16", steps=3),
        calibrate._scoring_seconds(policy),
        calibrate._token_seconds(policy),
    ):
        assert 0 < seconds < 10


def test_products_and_bandwidth_have_speeds_of_this_world() -> None:
    assert 1e8 < calibrate._product_speed((64, 64, 64)) < 1e14


@pytest.fixture
def threads() -> Iterator[None]:
    """Put back what was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_what_comes_and_goes_is_told_apart_from_what_stays(threads: None) -> None:
    small, beside = calibrate._peak_beside(SIZES)
    large, _ = calibrate._peak_beside(SIZES | {"layers": 4})
    assert small < large < 2.5 * small and beside > small


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="this system does not let a peak begin anew"
)
def test_a_peak_begins_anew() -> None:
    block = bytearray(b"x") * 200_000_000
    high = peak_gib()
    del block
    reset_peak()
    assert Path("/proc/self/status").exists()
    assert abs(peak_gib() - memory_gib()) < 0.05 and peak_gib() < high - 0.1
