"""What every objective asks of its tensors: equal shapes, boolean masks, at least float32.

Only shapes and dtypes are looked at, never values: reading a value would make a GPU wait.
"""

import torch
from torch import Tensor


def require_same_shape(**tensors: Tensor | None) -> None:
    """Raise ValueError unless all tensors given (None is skipped) have one shape; the message names both."""
    given = [(name, tensor) for name, tensor in tensors.items() if tensor is not None]
    first_name, first = given[0]
    for name, tensor in given[1:]:
        if tensor.shape != first.shape:
            raise ValueError(
                f"{first_name} has shape {tuple(first.shape)} but {name} has shape {tuple(tensor.shape)}; "
                "they must be equal"
            )


def require_mask(mask: Tensor, **tensors: Tensor | None) -> None:
    """Raise ValueError unless `mask` is boolean (True: this element counts) and of the shape of the tensors."""
    if mask.dtype != torch.bool:
        raise ValueError(f"mask has dtype {mask.dtype}; expected torch.bool with True where an element counts")
    require_same_shape(**tensors, mask=mask)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half precision and integers become float32; float32 and float64 stay as they are. Any shape."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
