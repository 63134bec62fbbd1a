"""Tensors that may lie in parts over several processes."""

from torch import Tensor
from torch.distributed.tensor import DTensor


def whole(tensor: Tensor) -> Tensor:
    """The tensor, of any shape, in one piece; where it lies in parts every process must ask for it, since each holds
    one."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
