import pytest
import torch

from boresight.objectives.inputs import at_least_float32, require_mask, require_same_shape


def test_unequal_shapes_are_refused_with_both_names_and_shapes():
    with pytest.raises(ValueError, match=r"values has shape \(2, 3\) but target has shape \(3, 2\)"):
        require_same_shape(values=torch.zeros(2, 3), margin=None, target=torch.zeros(3, 2))


def test_broadcastable_shapes_are_refused_too():
    with pytest.raises(ValueError, match=r"\(4,\).*\(4, 1\)"):
        require_same_shape(chosen=torch.zeros(4), rejected=torch.zeros(4, 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_a_mask_that_is_not_boolean_is_refused(dtype):
    with pytest.raises(ValueError, match=rf"mask has dtype {dtype}; expected torch.bool with True where"):
        require_mask(torch.ones(2, dtype=dtype), values=torch.zeros(2))


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"values has shape \(2,\) but mask has shape \(3,\)"):
        require_mask(torch.ones(3, dtype=torch.bool), values=torch.zeros(2))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.int64, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_precision_and_integers_are_widened_and_the_rest_kept(given, expected):
    assert at_least_float32(torch.ones(2, dtype=given)).dtype == expected
