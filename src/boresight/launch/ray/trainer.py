"""The actor that runs the pipeline: every loop is the one of a single process, with its roles in other actors.

Killed, it is started anew and builds on from the last checkpoint in the run's folder, which every node must see.
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is public, and not marked so

from boresight.config.pipeline import Pipeline
from boresight.launch.ray.remote_roles import RaySampler, RemoteReference, RemoteRewardModel
from boresight.launch.ray.trainer_group import joined, meeting_point
from boresight.launch.ray.worker import Source
from boresight.models.roles import Policy
from boresight.pipeline.run import Outcome, follow_run, run_pipeline


@dataclass(frozen=True, slots=True)
class RayRoles:
    """What `boresight.pipeline.context.RemoteRoles` asks for."""

    rollouts: Sequence[Any]
    scorers: Sequence[Any]
    references: Sequence[Any]

    def sampler(self, stage: str, path: str, template: str, policy: Policy) -> RaySampler:
        return RaySampler(self.rollouts, Source(stage, path, template), policy)

    def reference(self, stage: str, path: str, template: str) -> RemoteReference:
        return RemoteReference(self.references, Source(stage, path, template))

    def reward_model(self, stage: str, path: str) -> RemoteRewardModel:
        return RemoteRewardModel(self.scorers, Source(stage, path, None))


class Trainer:
    """Works in `folder`, from which paths of the pipeline are told."""

    def __init__(self, folder: str) -> None:
        os.chdir(folder)
        self._store: TCPStore | None = None

    def where(self) -> tuple[int, str]:
        """Process and machine."""
        return os.getpid(), socket.gethostname()

    def run(self, pipeline: Pipeline, out: Path, only: str | None, start: str | None, remote: RayRoles) -> Outcome:
        """See `boresight.pipeline.run.run_pipeline`."""
        return run_pipeline(pipeline, out, only=only, start=start, remote=remote)

    def meet(self) -> tuple[str, int]:
        """Where the others find this one, the first of several: address and port."""
        self._store = meeting_point()
        return self._store.host, self._store.port

    def run_as(
        self, rank: int, count: int, address: tuple[str, int], pipeline: Pipeline, out: Path, only: str | None,
        start: str | None, remote: RayRoles,
    ) -> Outcome | None:  # fmt: skip
        """The same as one of several trainers, of which the first tells what the run came to."""
        store = TCPStore(*address, is_master=False) if rank else self._store
        assert store is not None
        with joined(store, rank, count) as processes:
            if processes.first:
                return run_pipeline(pipeline, out, only=only, start=start, processes=processes, remote=remote)
            follow_run(pipeline, out, processes, remote)
            return None
