"""The processes that `torchrun` starts: each is the same command, and they find each other by the variables it sets."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from boresight.training.process_group import PATIENCE, joined_as
from boresight.training.processes import ALONE, Processes


@contextmanager
def joined() -> Iterator[Processes]:
    """This process among those that torchrun started with it, or alone where it was started by itself."""
    if not dist.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        yield ALONE
        return
    store, rank, count = next(rendezvous("env://", timeout=PATIENCE))
    with joined_as(_of_attempt(store), rank, count, gpu=int(os.environ["LOCAL_RANK"])) as group:
        yield group


def _of_attempt(store: Store) -> Store:
    """Of a store that torchrun's own process holds, the part of this attempt: it lives through restarts, and the whole
    of it has the addresses of processes that died. Not where other machines may count their attempts otherwise."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or os.environ["GROUP_WORLD_SIZE"] != "1":
        return store
    return PrefixStore(f"attempt {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
