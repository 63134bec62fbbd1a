"""A connection to a cluster, or a small one of our own for as long as a run takes; and the actors of the run in it."""

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from boresight.errors import ClusterError, PlanError
from boresight.launch.ray.answers import Actor, locate
from boresight.launch.ray.guard import guarded
from boresight.launch.ray.layout import ROLES, Bundle, Layout, refuse_unless_it_fits
from boresight.launch.ray.trainer import Trainer
from boresight.launch.ray.worker import RoleWorker

AUTO, ADDRESS_VARIABLE = "auto", "RAY_ADDRESS"
RESTARTS = 3
"""Of each actor."""
OBJECT_STORE = 256 * 2**20
"""Bytes for what travels in a cluster of our own: some batches and two versions of a small policy's weights."""
KNOCK, PLACED_WITHIN, STARTED_WITHIN = 5.0, 60.0, 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Actors:
    """By role."""

    trainers: Sequence[Actor]
    rollout: Sequence[Actor]
    scorer: Sequence[Actor]
    reference: Sequence[Actor]

    @property
    def all(self) -> list[Actor]:
        return [*self.trainers, *self.rollout, *self.scorer, *self.reference]


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
    if address == AUTO:
        address = told_by_ray()
    if address:
        knock(address)
    own = {} if address else {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE}
    with nullcontext() if address else guarded():
        # The address is named, or Ray would join whatever cluster it finds on this machine.
        try:
            ray.init(address=address or "local", configure_logging=False, log_to_driver=True, **own)
        except Exception as error:  # Ray raises one without a kind where its processes do not come up in time
            ray.shutdown()
            raise ClusterError(refusal(address, error)) from error
        try:
            yield
        finally:
            ray.shutdown()


def told_by_ray() -> str:
    """The address of the cluster that this process is a job of. Raises ClusterError where it is none's."""
    address = os.environ.get(ADDRESS_VARIABLE, "")
    if not address:
        raise ClusterError(
            f"--address {AUTO}: {ADDRESS_VARIABLE} is not set; expected HOST:PORT there, as Ray sets it for the "
            "commands of its jobs. Give the address, or leave the option out for a cluster on this machine."
        )
    return address


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
    elif "timed out" in said:
        advice = "Expected its processes within half a minute; give the machine time, or fewer other things to do"
    elif address:
        advice = "Expected a cluster that listens there (`ray status --address ...`); see that it runs and is reachable"
    else:
        advice = "Ports in use, /dev/shm too small, or a temporary folder with a long name are the usual causes"
    return f"{where}: cannot be used: {said[:600]}. {advice}. Nothing was started."


@contextmanager
def placed(layout: Layout, dtype: str, threads: int | None) -> Iterator[Actors]:
    """All actors of a run, in one placement group: together, or none of them (PlanError). They end with the block."""
    refuse_unless_it_fits(layout, [node["Resources"] for node in ray.nodes() if node["Alive"]])
    with reserved(layout.bundles) as group:
        started: list[Actor] = []
        try:
            for place, role in enumerate(layout.actors):
                made = ray.remote(Trainer if role == "trainer" else RoleWorker).options(
                    num_cpus=layout.cpus,
                    num_gpus=layout.gpus,
                    max_restarts=RESTARTS,
                    scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=place),
                )
                handle = made.remote(str(Path.cwd())) if role == "trainer" else made.remote(dtype, threads)
                started.append(Actor(layout.names[place], handle))
            by_role = {
                role: [actor for actor, its in zip(started, layout.actors, strict=True) if its == role]
                for role in ROLES
            }
            yield Actors(by_role["trainer"], by_role["rollout"], by_role["scorer"], by_role["reference"])
        finally:
            for actor in started:
                ray.kill(actor.handle)


@contextmanager
def reserved(bundles: Sequence[Bundle]) -> Iterator[PlacementGroup]:
    """Room for all of them at once, until the block ends. Raises PlanError where others hold it."""
    group = placement_group([dict(bundle) for bundle in bundles], strategy="PACK")
    try:
        if not group.wait(PLACED_WITHIN):
            free = ray.available_resources()
            raise PlanError(
                f"the cluster did not place {len(bundles)} actors together within {PLACED_WITHIN:g} seconds, "
                f"though it is large enough: others hold it ({free.get('CPU', 0.0):g} CPUs and "
                f"{free.get('GPU', 0.0):g} GPUs are free). Nothing of the run was begun; try again later or take fewer."
            )
        yield group
    finally:
        remove_placement_group(group)


def processes(actors: Actors) -> list[str]:
    """A line for each actor, once all have started with the versions that are here: role, process, machine."""
    locate(actors.all, STARTED_WITHIN)
    return [f"ray: {actor.role}: {actor.at}" for actor in actors.all]
