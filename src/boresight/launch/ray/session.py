"""A connection to a cluster, or a small one of our own for as long as a run takes; and the actors of the run in it."""

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from boresight.errors import ClusterError, PlanError
from boresight.launch.ray.answers import answers
from boresight.launch.ray.layout import ROLES, Layout, refuse_unless_it_fits
from boresight.launch.ray.trainer import Trainer
from boresight.launch.ray.worker import RoleWorker

RESTARTS = 3
"""Of each actor, and of each question that killed one."""
OBJECT_STORE = 256 * 2**20
"""Bytes for what travels in a cluster of our own: some batches and two versions of a small policy's weights."""
KNOCK, PLACED_WITHIN, STARTED_WITHIN = 5.0, 60.0, 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Actors:
    """Handles by role; the first of a role that has one is it."""

    trainers: Sequence[Any]
    rollout: Sequence[Any]
    scorer: Sequence[Any]
    reference: Sequence[Any]


@contextmanager
def connected(address: str | None, cpus: int | None) -> Iterator[None]:
    """Ray at `address`, or started here with `cpus` processors (default: all) and ended with the block. Within another
    such block it is that one's.

    Raises ClusterError where it cannot be reached or runs another version.
    """
    if ray.is_initialized():
        yield
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing leaves the cluster
    if address:
        knock(address)
    own = {} if address else {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE}
    # The address is named, or Ray would join whatever cluster it finds on this machine.
    try:
        ray.init(address=address or "local", configure_logging=False, log_to_driver=True, **own)
    except (RuntimeError, ConnectionError, ValueError, OSError) as error:
        ray.shutdown()
        raise ClusterError(refusal(address, error)) from error
    try:
        yield
    finally:
        ray.shutdown()


def knock(address: str) -> None:
    """ClusterError where nobody listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"--address {address}: is no address of a Ray cluster; expected HOST:PORT, as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), KNOCK).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(refusal(address, error)) from error


def refusal(address: str | None, error: Exception) -> str:
    """Why there is no Ray: its own words, and what to do about them."""
    said = " ".join(str(error).split())
    where = f"Ray at {address}" if address else "Ray on this machine"
    if "ersion mismatch" in said:
        advice = f"Expected Ray {ray.__version__} and Python {sys.version.split()[0]} on every node, as here"
    elif address:
        advice = "Expected a cluster that listens there (`ray status --address ...`); see that it runs and is reachable"
    else:
        advice = "Ports in use, /dev/shm too small, or a temporary folder with a long name are the usual causes"
    return f"{where}: cannot be used: {said[:600]}. {advice}. Nothing was started."


@contextmanager
def placed(layout: Layout, dtype: str, threads: int | None) -> Iterator[Actors]:
    """All actors of a run, in one placement group: together, or none of them. They end with the block."""
    refuse_unless_it_fits(layout, [node["Resources"] for node in ray.nodes() if node["Alive"]])
    group = placement_group([dict(bundle) for bundle in layout.bundles], strategy="PACK")
    started: list[Any] = []
    try:
        if not group.wait(PLACED_WITHIN):
            free = ray.available_resources()
            raise PlanError(
                f"the cluster did not place {len(layout.bundles)} actors together within {PLACED_WITHIN:g} seconds, "
                f"though it is large enough: others hold it ({free.get('CPU', 0.0):g} CPUs and "
                f"{free.get('GPU', 0.0):g} GPUs are free). Nothing was started; try again later, or take fewer actors."
            )
        for place, role in enumerate(layout.actors):
            made = ray.remote(Trainer if role == "trainer" else RoleWorker).options(
                num_cpus=layout.cpus,
                num_gpus=layout.gpus,
                max_restarts=RESTARTS,
                max_task_retries=RESTARTS,
                scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=place),
            )
            started.append(made.remote(str(Path.cwd())) if role == "trainer" else made.remote(dtype, threads))
        by_role = {
            role: [actor for actor, its in zip(started, layout.actors, strict=True) if its == role] for role in ROLES
        }
        yield Actors(by_role["trainer"], by_role["rollout"], by_role["scorer"], by_role["reference"])
    finally:
        for actor in started:
            ray.kill(actor)
        remove_placement_group(group)


def processes(layout: Layout, actors: Actors) -> list[str]:
    """A line for each actor, once all have started: role, process, machine."""
    every = [*actors.trainers, *actors.rollout, *actors.scorer, *actors.reference]
    found = answers([actor.where.remote() for actor in every], STARTED_WITHIN)
    return [
        f"ray: {role}: process {process} on {node}" for role, (process, node) in zip(layout.actors, found, strict=True)
    ]
