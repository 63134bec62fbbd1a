"""Answers of actors, with what went wrong there told as if it had happened here."""

from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from boresight.errors import BoresightError, ClusterError


def answers(asked: Sequence[Any], timeout: float | None = None) -> list[Any]:
    """What actors answered, in order. Ray has started a dead one anew by then, and asked it again.

    Raises the actor's own BoresightError; ClusterError for one that died too often, or did not start in `timeout`
    seconds.
    """
    try:
        return list(ray.get(list(asked), timeout=timeout))
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, BoresightError):
            raise cause from None
        if isinstance(cause, RayActorError):
            raise _died(cause) from error
        raise
    except RayActorError as error:
        raise _died(error) from error
    except GetTimeoutError as error:
        raise ClusterError(
            f"an actor did not answer within {timeout:g} seconds of its start. Look at the cluster's nodes (`ray "
            "status`) and their logs; nothing of the run was begun."
        ) from error


def _died(error: RayActorError) -> ClusterError:
    last = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ClusterError(
        f"an actor of the run died, and starting it anew did not help: {' | '.join([*last[:2], *last[2:][-2:]])}. "
        "Checkpoints are kept: mend the cause and give the same command, which goes on from there."
    )
