"""Tasks made while people label: a model answers prompts beside the requests, a little ahead of the annotators.

One thread samples and adds; it holds nothing that a request needs, and the store is written to only once the responses
of a task are there. It rests while enough tasks wait, so that a model is not run for people who never come, and what
it had not begun when the server ended it does at the next start: a prompt whose task is there is not sampled again.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from boresight.errors import BoresightError, DataError
from boresight.records import Messages, Prompt
from boresight.web.annotation.projects import MOST_RESPONSES, NewTask, add_tasks
from boresight.web.annotation.schema import tasks
from boresight.web.annotation.store import Store

Sampler = Callable[[Messages, int], Sequence[str]]
"""So many responses to a prompt. Raises DataError where the prompt does not fit the model."""
AHEAD = 20
LOOK_SECONDS = 0.5
TRIES = 3
"""Times that a prompt is sampled anew where a model says the same thing twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTasks:
    """What to make: `count` different responses to each prompt, at most `ahead` open tasks waiting. Raises DataError
    unless `count` is 2 to MOST_RESPONSES."""

    prompts: Sequence[Prompt]
    count: int
    model: str
    ahead: int = AHEAD

    def __post_init__(self) -> None:
        if not 2 <= self.count <= MOST_RESPONSES:
            raise DataError(f"--responses {self.count}: expected 2 to {MOST_RESPONSES}, to compare or to rank.")


class LiveWorker:
    """The thread. `load` makes the sampler in it, so that the pages answer while a model is loaded."""

    def __init__(self, store: Store, project_id: int, wanted: LiveTasks, load: Callable[[], Sampler]) -> None:
        self._store, self._project_id, self._wanted, self._load = store, project_id, wanted, load
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.left_out = 0
        """Prompts of which no task could be made."""

    def start(self) -> None:
        """Begin to load the model and make tasks; returns at once."""
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """Ask it to end; a response that is being written is given up with the process."""
        self._stop.set()
        self._thread.join(seconds)

    def wait(self, seconds: float) -> None:
        """Until all prompts are done with."""
        self._thread.join(seconds)

    def _run(self) -> None:
        log = logging.getLogger("boresight.web")
        try:
            left = self._left()
            sampler = self._load() if left else None
            for prompt in left:
                if not self._may_go_on():
                    return
                assert sampler is not None
                task = self._task(prompt, sampler)
                if task is None:
                    self.left_out += 1
                else:
                    add_tasks(self._store, self._project_id, [task])
            if self.left_out:
                log.warning("%d prompts left out: the model does not fit them, or says one thing alone", self.left_out)
        except BoresightError as error:
            log.error("no more live tasks: %s", error)
        except Exception:  # a thread has nobody above it: the log is told, and what is there can be labelled
            log.exception("no more live tasks")

    def _left(self) -> list[Prompt]:
        query = select(tasks.c.key).where(tasks.c.project_id == self._project_id)
        with self._store.read() as connection:
            known = set(connection.execute(query).scalars())
        return [prompt for prompt in self._wanted.prompts if prompt.id not in known]

    def _may_go_on(self) -> bool:
        """Waits while enough tasks are open; False where the server ends."""
        while not self._stop.is_set():
            if self._open() < self._wanted.ahead:
                return True
            self._stop.wait(LOOK_SECONDS)
        return False

    def _open(self) -> int:
        query = select(func.count()).where(tasks.c.project_id == self._project_id, tasks.c.open.is_(True))
        with self._store.read() as connection:
            return int(connection.execute(query.where(tasks.c.purpose == "label")).scalar_one())

    def _task(self, prompt: Prompt, sampler: Sampler) -> NewTask | None:
        wanted = self._wanted
        found: dict[str, None] = {}
        for _ in range(TRIES):
            try:
                said = sampler(prompt.messages, wanted.count - len(found))
            except DataError:
                return None
            found.update(dict.fromkeys(text for text in said if text.strip()))
            if len(found) == wanted.count or self._stop.is_set():
                break
        if len(found) < 2:
            return None
        responses = [{"text": text, "model": wanted.model} for text in found]
        return NewTask(
            key=prompt.id,
            prompt=prompt.messages,
            responses=responses,
            meta={"kind": prompt.kind} if prompt.kind else {},
        )
