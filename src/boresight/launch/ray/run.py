"""A pipeline on Ray: its roles placed, its stages built, everything ended."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from boresight.config.pipeline import Pipeline
from boresight.launch.ray.answers import Question
from boresight.launch.ray.layout import AS_NEEDED, Layout, Scaling, refuse_what_cannot_be_spread
from boresight.launch.ray.scoring_service import scoring_service
from boresight.launch.ray.session import RESTARTS, connected, placed, processes
from boresight.launch.ray.trainer import RayRoles, ReplicatedScoring
from boresight.launch.ray.trainer_group import run_together
from boresight.pipeline.run import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RayRun:
    """Builds pipelines as `boresight.pipeline.run.run_pipeline` does, with roles in actors."""

    layout: Layout
    address: str | None = None
    """Of a cluster; None: one of our own, for this run."""
    local_cpus: int | None = None
    """Processors of that one; None: all there are."""
    scaling: Scaling = AS_NEEDED
    """When scorers come and go, where the layout lets them."""

    def __call__(
        self,
        pipeline: Pipeline,
        out: Path,
        *,
        only: str | None = None,
        start: str | None = None,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    ) -> Outcome:
        """Raises ConfigError, PlanError or ClusterError before anything is started, ClusterError where actors die too
        often, and what a stage raises."""
        self.refuse(pipeline, only)
        sections = pipeline.sections
        with (
            connected(self.address, self.local_cpus),
            placed(self.layout, sections.model.dtype, sections.run.threads) as actors,
            ExitStack() as stack,
        ):
            for line in processes(actors):
                say(line)
            scoring = self._scoring(stack, sections.model.dtype, sections.run.threads, say)
            remote = RayRoles(actors.rollout, actors.scorer, actors.reference, scoring)
            job = (pipeline, out.absolute(), only, start, remote)
            if self.layout.trainers > 1:
                return run_together(actors.trainers, job, restarts=RESTARTS, say=say)
            about = "to run the pipeline, from its last checkpoint on"
            outcome = Question(actors.trainers[0], "run", *job, about=about).answer(say)
        assert isinstance(outcome, Outcome)
        return outcome

    def refuse(self, pipeline: Pipeline, only: str | None) -> None:
        """Raises ConfigError for what can be told of the pipeline without a cluster, and without looking at data."""
        refuse_what_cannot_be_spread(pipeline, self.layout.trainers, only)

    def _scoring(
        self, stack: ExitStack, dtype: str, threads: int | None, say: Callable[[str], None]
    ) -> ReplicatedScoring | None:
        """Replicas until the stack is left, where the layout has them."""
        if self.layout.most_scorers is None:
            return None
        service = stack.enter_context(scoring_service(self.layout, dtype, threads, self.scaling))
        say(f"ray: scorer: {service.where()}; {self.layout.scorers} to {self.layout.most_scorers} as needed")
        return service
