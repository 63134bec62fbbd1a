"""The processes that `torchrun` starts: each is the same command, and they find each other by the variables it sets."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from boresight.models.loading import default_device
from boresight.training.process_group import ProcessGroup
from boresight.training.processes import ALONE, Processes

PATIENCE = timedelta(days=30)  # the others wait while the first builds stages by itself; torchrun ends them if it fails


@contextmanager
def joined() -> Iterator[Processes]:
    """This process among those that torchrun started with it, or alone where it was started by itself."""
    if not dist.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        yield ALONE
        return
    device = default_device()
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cuda:nccl,cpu:gloo" if device == "cuda" else "gloo", timeout=PATIENCE)
    yield ProcessGroup(device)
    dist.destroy_process_group()  # after a fault torchrun ends the others, who could not answer
