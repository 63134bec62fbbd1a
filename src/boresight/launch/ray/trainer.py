"""The actor that runs the pipeline: every loop is the one of a single process, with its roles in other actors.

Killed, it is started anew and builds on from the last checkpoint in the run's folder, which every node must see.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from boresight.config.pipeline import Pipeline
from boresight.config.sections import LoRASection
from boresight.launch.ray.answers import Actor, locate
from boresight.launch.ray.remote_roles import RaySampler, RemoteReference, RemoteRewardModel
from boresight.launch.ray.whereabouts import Located
from boresight.launch.ray.worker import Source
from boresight.models.generate import Generation
from boresight.models.roles import Policy, RewardModel
from boresight.pipeline.run import Outcome, run_pipeline


class ReplicatedScoring(Protocol):
    """What `boresight.launch.ray.scoring_service` makes; by shape, so that a trainer without it loads no Serve."""

    def reward_model(self, source: Source) -> RewardModel: ...


@dataclass(frozen=True, slots=True)
class RayRoles:
    """What `boresight.pipeline.context.RemoteRoles` asks for."""

    rollouts: Sequence[Actor]
    scorers: Sequence[Actor]
    references: Sequence[Actor]
    scoring: ReplicatedScoring | None = None
    """Replicas in place of `scorers`."""

    def begin_rollouts(
        self, stage: str, path: str, template: str, lora: LoRASection | None, policy: Policy
    ) -> Callable[..., Callable[[], list[Generation]]]:
        source = Source(stage, path, template, None if lora is None else lora.model_dump_json())
        return RaySampler(self.rollouts, source, policy).begin

    def reference(self, stage: str, path: str, template: str) -> RemoteReference:
        return RemoteReference(self.references, Source(stage, path, template))

    def reward_model(self, stage: str, path: str) -> RewardModel:
        source = Source(stage, path, None)
        return RemoteRewardModel(self.scorers, source) if self.scoring is None else self.scoring.reward_model(source)


class Trainer(Located):
    """Works in `folder`, from which paths of the pipeline are told."""

    def __init__(self, folder: str) -> None:
        os.chdir(folder)

    def run(self, pipeline: Pipeline, out: Path, only: str | None, start: str | None, remote: RayRoles) -> Outcome:
        """See `boresight.pipeline.run.run_pipeline`."""
        locate([*remote.rollouts, *remote.scorers, *remote.references])  # some may have died since this one was begun
        return run_pipeline(pipeline, out, only=only, start=start, remote=remote)
