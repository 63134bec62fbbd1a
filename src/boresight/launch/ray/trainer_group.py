"""Several trainers that share every batch and the weights: one process group of their own, begun anew as a whole.

The first runs the pipeline with its roles in other actors; the others follow it (`boresight.training.process_group`).
When one dies the rest wait for it in vain, so all are killed, Ray starts them again, and they go on from the last
checkpoint.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import ray
import torch
import torch.distributed as dist
from ray.exceptions import RayActorError, RayTaskError
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is public, and not marked so

from boresight.config.pipeline import Pipeline
from boresight.errors import BoresightError, ClusterError
from boresight.launch.ray.answers import answers
from boresight.models.loading import default_device
from boresight.pipeline.context import RemoteRoles
from boresight.pipeline.run import Outcome
from boresight.training.process_group import ProcessGroup

PATIENCE = timedelta(days=30)  # the others wait while the first builds stages by itself
DEATH_IS_TOLD_WITHIN = 20.0  # seconds; Ray notices a process that has ended in far less
LOOK_EVERY = 0.1  # seconds, while actors are being killed


def meeting_point() -> TCPStore:
    """Where the trainers find each other: here, at a free port."""
    return TCPStore(ray.util.get_node_ip_address(), 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)


@contextmanager
def joined(store: TCPStore, rank: int, count: int) -> Iterator[ProcessGroup]:
    """This process as one of several: gloo on CPUs, NCCL on GPUs, of which Ray shows each its own."""
    device = default_device()
    if device == "cuda":
        torch.cuda.set_device(0)
    backend = "cuda:nccl,cpu:gloo" if device == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    yield ProcessGroup(device)
    dist.destroy_process_group()  # after a fault the actors are killed


def run_together(
    trainers: Sequence[Any],
    pipeline: Pipeline,
    out: Path,
    only: str | None,
    start: str | None,
    remote: RemoteRoles,
    *,
    restarts: int,
) -> Outcome:
    """What the first trainer's `run_pipeline` came to. Raises what a stage raises, and ClusterError where trainers
    died more than `restarts` times."""
    processes: set[tuple[int, str]] = set()
    for _ in range(restarts + 1):
        processes = _other_processes(trainers, than=processes)
        (address,) = answers([trainers[0].meet.remote()])
        asked = [
            trainer.run_as.options(max_task_retries=0).remote(
                rank, len(trainers), address, pipeline, out, only, start, remote
            )
            for rank, trainer in enumerate(trainers)
        ]
        dead = _dead(asked)
        if not dead:
            outcome = ray.get(asked[0])
            assert isinstance(outcome, Outcome)
            return outcome
        for trainer, answer in zip(trainers, asked, strict=True):
            if answer not in dead:  # which Ray starts again by itself
                ray.kill(trainer, no_restart=False)
    raise ClusterError(
        f"trainers of the group died {restarts + 1} times, and starting them anew did not help. Checkpoints are kept: "
        "mend the cause (their last words stand above) and give the same command, which goes on from there."
    )


def _other_processes(trainers: Sequence[Any], than: set[tuple[int, str]]) -> set[tuple[int, str]]:
    """Where the trainers are, once none of them is in a process that was killed."""
    while True:
        found = set(answers([trainer.where.remote() for trainer in trainers]))
        if not found & than:
            return found
        time.sleep(LOOK_EVERY)


def _dead(asked: Sequence[Any]) -> list[Any]:
    """The answers that will not come since their actors died; none where all have come. Raises what went wrong in one
    that lives, unless it is that another has died."""
    waiting, fault, patience = list(asked), None, None
    while waiting:
        done, waiting = ray.wait(waiting, num_returns=1, timeout=patience)
        if not done:
            break
        try:
            ray.get(done[0])
        except RayActorError:
            return [*done]
        except RayTaskError as error:
            if isinstance(error.cause, BoresightError):
                raise error.cause from None
            fault, patience = fault or error, DEATH_IS_TOLD_WITHIN
    if fault is not None:
        raise fault
    return []
