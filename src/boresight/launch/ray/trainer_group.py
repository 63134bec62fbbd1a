"""Several trainers that share every batch and the weights: one process group of their own, begun anew as a whole.

The first runs the pipeline with its roles in other actors; the others follow it (`boresight.training.process_group`).
When one dies the rest wait for it in vain, so all are killed, Ray starts them again, and they go on from the last
checkpoint.
"""

import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is public, and not marked so

from boresight.errors import BoresightError, ClusterError
from boresight.launch.ray.answers import Actor, Question, Say, locate, to_stderr
from boresight.pipeline.run import Outcome
from boresight.training.process_group import PATIENCE

DEATH_IS_TOLD_WITHIN = 20.0  # seconds; Ray notices a process that has ended in far less
LOOK_EVERY = 0.1  # seconds, while actors are being killed


def meeting_point() -> TCPStore:
    """Where the trainers find each other: here, at a free port."""
    return TCPStore(ray.util.get_node_ip_address(), 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)


def run_together(trainers: Sequence[Actor], job: Sequence[Any], *, restarts: int, say: Say = to_stderr) -> Outcome:
    """What the first trainer's `run_pipeline` came to; `job` is what `Trainer.run` takes.

    Raises what a stage raises, and ClusterError where trainers died more than `restarts` times.
    """
    for attempt in range(restarts + 1):
        if attempt:
            _locate_others(trainers)
            for trainer in trainers:
                say(f"ray: {trainer.role}: {trainer.at} begins anew with the others, from the last checkpoint on")
        address = Question(trainers[0], "meet", about="where the others find it").answer(say)
        asked = {
            trainer.handle.run_as.remote(rank, len(trainers), address, *job): trainer
            for rank, trainer in enumerate(trainers)
        }
        dead = _dead(list(asked))
        if not dead:
            outcome = ray.get(next(iter(asked)))
            assert isinstance(outcome, Outcome)
            return outcome
        for answer in dead:
            trainer = asked.pop(answer)
            say(f"ray: {trainer.role}: {trainer.at} died, or is out of reach, while it trained with the others")
        for trainer in asked.values():  # Ray starts the dead ones again by itself
            ray.kill(trainer.handle, no_restart=False)
    raise ClusterError(
        f"trainers of the group died {restarts + 1} times, and starting them anew did not help. Checkpoints are kept: "
        "mend the cause (their last words stand above) and give the same command, which goes on from there."
    )


def _locate_others(trainers: Sequence[Actor]) -> None:
    """Find out where the trainers are, once none of them is in a process that has died or was killed. One that was only
    out of reach is still there, and is killed after a while."""
    ended = [trainer.at for trainer in trainers]
    patience = time.monotonic() + DEATH_IS_TOLD_WITHIN
    while left := [trainer for trainer in trainers if trainer.at in ended]:
        if time.monotonic() > patience:
            for trainer in left:
                ray.kill(trainer.handle, no_restart=False)
            patience += DEATH_IS_TOLD_WITHIN
        time.sleep(LOOK_EVERY)
        locate(left)


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
