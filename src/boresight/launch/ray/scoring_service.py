"""Reward scoring by Ray Serve: more replicas while questions pile up, fewer when they do not.

The replicas live in a placement group of their own that holds room for the most of them, so that growing never waits
for others, and are asked by handle: no port is opened. A question whose replica died is asked again.
"""

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatus
from ray.util.placement_group import PlacementGroup
from torch import Tensor

from boresight.errors import BoresightError, ClusterError, TrainingError
from boresight.feedback.score_client import Scored
from boresight.launch.ray.layout import Bundle, Layout, Scaling
from boresight.launch.ray.scorer import Scorer
from boresight.launch.ray.session import STARTED_WITHIN, reserved
from boresight.launch.ray.whereabouts import Whereabouts, here, refuse_other_versions
from boresight.launch.ray.worker import Source
from boresight.models.loading import chat_format, load_tokenizer
from boresight.models.roles import RewardModel
from boresight.records import Messages
from boresight.web.reward_service.limits import Limits

DEPLOYMENT = "scorer"
TOGETHER = 16
"""Responses of one question: few enough that replicas can share a batch, enough to fill a forward pass."""
TRIES = 4
"""Of a question whose replica dies under it: as often as one of an actor."""
CONTROLLER = ("SERVE_CONTROLLER_ACTOR", "serve")
"""Name and namespace of the actor by which a running Serve is known."""
LIMITS = Limits()
"""Of a forward pass, and how long a response waits for company."""
QUIET = {"log_level": "WARNING", "enable_access_log": False}


@dataclass(frozen=True, slots=True)
class ScoringService:
    """A running one; travels to the trainer with the handle in it."""

    name: str
    handle: Any

    def reward_model(self, source: Source) -> "ServedRewardModel":
        quieten()
        return ServedRewardModel(self.handle, source)

    def where(self) -> Whereabouts:
        """Of one replica. Raises ClusterError where it has other versions than this process."""
        found = Whereabouts(*self.handle.where.remote().result(timeout_s=STARTED_WITHIN))
        refuse_other_versions(here(), {"scorer": found})
        return found

    def replicas(self) -> int:
        """How many of them answer now, as Serve tells it."""
        states = serve.status().applications[self.name].deployments[DEPLOYMENT].replica_states
        return int(states.get("RUNNING", 0))


class ServedRewardModel(RewardModel):
    """A reward model behind replicas that come and go; all of them must answer as the same one."""

    def __init__(self, handle: Any, source: Source) -> None:
        self._handle = handle
        self._source = source
        self._hash: str | None = None
        self.tokenizer = load_tokenizer(source.path)
        self.chat = chat_format(self.tokenizer, "tokenizer")

    def score(self, prompts: Sequence[Messages], responses: Sequence[str], batch_size: int = 64) -> Tensor:
        """(responses,) float32 scores. The replicas make their own batches, so that scores agree with those of one
        process but for rounding; `batch_size` decides nothing here."""
        parts = [slice(start, start + TOGETHER) for start in range(0, len(responses), TOGETHER)]
        asked = [("score", self._source, prompts[part], responses[part]) for part in parts]
        scores: list[float] = []
        for answer in told(self._handle, asked):
            self._refuse_another(answer)
            scores += answer.scores
        return torch.tensor(scores)

    def fingerprint(self) -> str:
        """Of one replica; that the others hold the same is told by the hash in every answer."""
        (found,) = told(self._handle, [("fingerprint", self._source)])
        return str(found)

    def _refuse_another(self, answer: Scored) -> None:
        if self._hash is None:
            self._hash = answer.model_hash
        elif self._hash != answer.model_hash:
            raise TrainingError(
                f"{self._source.path}: a replica of the scoring service answers with the model "
                f"{answer.model_hash[:12]}, and others did with {self._hash[:12]}: rewards of two models cannot be "
                "mixed. Expected the same files on every node, unchanged while the run lasts. Restore them and give "
                "the same command, which goes on from the last checkpoint."
            )


def quieten() -> None:
    """No line of Serve for every question whose replica died: it is asked again, and told if that does not help."""
    logging.getLogger("ray.serve").setLevel(logging.ERROR)


def told(handle: Any, asked: Sequence[tuple[Any, ...]]) -> list[Any]:
    """What replicas answered to questions (method, arguments...), in order; all are asked before the first is awaited.

    A question whose replica died is put to another one, or to the one that Serve starts. Raises the replica's own
    BoresightError, ClusterError where replicas die too often.
    """
    under_way = [_ask(handle, question) for question in asked]
    return [_answered(handle, question, first) for question, first in zip(asked, under_way, strict=True)]


def _ask(handle: Any, question: tuple[Any, ...]) -> Any:
    method, *arguments = question
    return getattr(handle, method).remote(*arguments)


def _answered(handle: Any, question: tuple[Any, ...], response: Any) -> Any:
    for left in reversed(range(TRIES)):
        try:
            return response.result()
        except RayTaskError as error:
            if isinstance(error.cause, BoresightError):
                raise error.cause from None
            raise
        except (RayActorError, RayServeException) as error:
            if not left:
                raise ClusterError(
                    f"a replica of the scoring service died under the same question {TRIES} times: "
                    f"{' '.join(str(error).split())[:400]}. Checkpoints are kept: mend the cause (memory, most often) "
                    "and give the same command, which goes on from there."
                ) from error
            response = _ask(handle, question)
    raise AssertionError("the last failure is raised")


@contextmanager
def scoring_service(
    layout: Layout, dtype: str, threads: int | None, scaling: Scaling, limits: Limits = LIMITS
) -> Iterator[ScoringService]:
    """The replicas of a run, as `layout` has them, for as long as the block lasts; a Serve that runs already is used
    and left as it was, otherwise none is left.

    Raises PlanError where the cluster has no room for the most of them, ClusterError where they do not start.
    """
    assert layout.most_scorers is not None
    quieten()
    with reserved(layout.replicas) as group, _serve_running():
        name = f"boresight-{uuid.uuid4().hex[:12]}"
        try:
            yield ScoringService(name, _deployed(name, layout, group, (dtype, threads, limits), scaling))
        finally:
            serve.delete(name)


@contextmanager
def _serve_running() -> Iterator[None]:
    """Serve without a proxy, so without a port. One that others started on the cluster is theirs to end."""
    if _runs_already():
        yield
        return
    serve.start(proxy_location="Disabled", logging_config=QUIET)
    try:
        yield
    finally:
        others = [app for app in serve.status().applications.values() if app.status != ApplicationStatus.DELETING]
        if not others:
            serve.shutdown()


def _runs_already() -> bool:
    try:
        ray.get_actor(*CONTROLLER)
    except ValueError:  # no actor of that name
        return False
    return True


def _deployed(name: str, layout: Layout, group: PlacementGroup, arguments: tuple[Any, ...], scaling: Scaling) -> Any:
    """A handle to the application, once its first replicas answer."""
    deployment = serve.deployment(Scorer).options(
        name=DEPLOYMENT,
        ray_actor_options={"num_cpus": 0, "resources": _within(group, layout.replicas[0])},
        max_ongoing_requests=64,
        health_check_period_s=2.0,
        graceful_shutdown_wait_loop_s=0.5,
        logging_config=QUIET,
        autoscaling_config={
            "min_replicas": layout.scorers,
            "max_replicas": layout.most_scorers,
            "target_ongoing_requests": scaling.questions,
            "look_back_period_s": scaling.look_back,
            "upscale_delay_s": scaling.up_after,
            "downscale_delay_s": scaling.down_after,
        }
        | ({} if scaling.measured_every is None else {"metrics_interval_s": scaling.measured_every}),
    )
    try:
        return serve.run(deployment.bind(*arguments), name=name, route_prefix=None)
    except RuntimeError as error:
        why = " ".join(serve.status().applications[name].deployments[DEPLOYMENT].message.split())
        raise ClusterError(
            f"the replicas of the scoring service do not start: {why[-600:] or error}. Nothing of the run was begun; "
            "mend the cause and give the same command."
        ) from error


def _within(group: PlacementGroup, bundle: Bundle) -> dict[str, float]:
    """What a replica takes out of the group. Serve places its actors itself and takes no group for them, so they ask
    for what the group's share of a node is called."""
    return {f"{kind}_group_{group.id.hex()}": amount for kind, amount in bundle.items()}
