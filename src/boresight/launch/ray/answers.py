"""Questions to actors, asked again when one dies over them, and their answers, with what went wrong there told here.

Ray starts a dead actor anew (`max_restarts`); asking again is ours, so that a person is told of every death at once.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from boresight.errors import BoresightError, ClusterError
from boresight.launch.ray.whereabouts import Whereabouts, here, refuse_other_versions

Say = Callable[[str], None]


def to_stderr(line: str) -> None:
    """Told where a run tells its progress."""
    print(line, file=sys.stderr, flush=True)


@dataclass(slots=True)
class Actor:
    """An actor as one that asks it sees it: its role, with a number where there are several; and where it is."""

    role: str
    handle: Any
    at: Whereabouts | None = None


def locate(actors: Sequence[Actor], timeout: float | None = None) -> None:
    """Find out where actors are once they live, in place of those that have died if need be.

    Raises ClusterError for one that cannot live, that did not start in `timeout` seconds, or that has other versions.
    """
    asked = [actor.handle.where.options(max_task_retries=-1).remote() for actor in actors]
    try:
        for actor, found in zip(actors, ray.get(asked, timeout=timeout), strict=True):
            actor.at = Whereabouts(*found)
    except RayActorError as error:
        raise _died(error) from error
    except GetTimeoutError as error:
        raise ClusterError(
            f"an actor did not answer within {timeout:g} seconds of its start. Look at the cluster's nodes (`ray "
            "status`) and their logs; nothing of the run was begun."
        ) from error
    refuse_other_versions(here(), {actor.role: actor.at for actor in actors if actor.at is not None})


class Question:
    """What an actor is asked: `method` with `arguments`; `about` says it to a person, as in "to write responses"."""

    def __init__(self, actor: Actor, method: str, *arguments: Any, about: str) -> None:
        self._actor, self._method, self._arguments, self._about = actor, method, arguments, about
        self._ask()

    def answer(self, say: Say = to_stderr) -> Any:
        """The answer, waited for; when the actor dies over it, that of the process which takes its place.

        Raises the actor's own BoresightError; ClusterError for an actor that dies too often.
        """
        while True:
            try:
                at, found = ray.get(self._asked)
            except RayTaskError as error:
                if isinstance(error.cause, BoresightError):
                    raise error.cause from None
                raise
            except RayActorError:
                self._ask_again(say)
            else:
                self._came_from(at, say)
                return found

    def _ask(self) -> None:
        self._of = self._actor.at
        self._asked = self._actor.handle.asked.remote(self._method, *self._arguments)

    def _ask_again(self, say: Say) -> None:
        actor = self._actor
        if actor.at == self._of:  # otherwise another question was under way too, and has found a new process
            say(f"ray: {actor.role}: {actor.at} died, or is out of reach, when asked {self._about}; Ray starts it anew")
            locate([actor])
        say(f"ray: {actor.role}: {actor.at} takes its place, and is asked again {self._about}")
        self._ask()

    def _came_from(self, at: Whereabouts, say: Say) -> None:
        """An actor may have died while nothing was asked of it."""
        actor = self._actor
        if actor.at is not None and at != actor.at and self._of == actor.at:
            say(f"ray: {actor.role}: {actor.at} died while nothing was asked of it; {at} has taken its place")
            actor.at = at
            refuse_other_versions(here(), {actor.role: at})


def answers(questions: Sequence[Question], say: Say = to_stderr) -> list[Any]:
    """What was answered, in order."""
    return [question.answer(say) for question in questions]


def _died(error: RayActorError) -> ClusterError:
    last = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ClusterError(
        f"an actor of the run died, and starting it anew did not help: {' | '.join([*last[:2], *last[2:][-2:]])}. "
        "Checkpoints are kept: mend the cause and give the same command, which goes on from there."
    )
