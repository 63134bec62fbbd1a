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
    backend = "cuda:nccl,cpu:gloo" if device == "cuda" else "gloo"
    if (store := _store_of_attempt()) is None:
        dist.init_process_group(backend, timeout=PATIENCE)
    else:
        rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    yield ProcessGroup(device)
    dist.destroy_process_group()  # after a fault torchrun ends the others, who could not answer


def _store_of_attempt() -> dist.Store | None:
    """Of the store of torchrun's own process on this machine, which lives through restarts, the part of this attempt:
    in the whole of it are the addresses of the processes that died. None where processes have a store of their own, or
    where other machines may count their attempts otherwise."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or os.environ["GROUP_WORLD_SIZE"] != "1":
        return None
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(address, port, is_master=False, timeout=PATIENCE)
    return dist.PrefixStore(f"attempt {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
