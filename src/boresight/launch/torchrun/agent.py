"""torch's elastic agent, which starts processes and starts them again, taught what not to try again."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from torch.distributed import Store
from torch.distributed.elastic.agent.server import WorkerGroup, WorkerSpec, WorkerState
from torch.distributed.elastic.agent.server.api import RunResult
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from boresight.errors import BoresightError
from boresight.launch.torchrun.reports import EndedError, Reports, as_told, from_told

ENDED = "boresight/ended"
HEARD = "boresight/heard"
HEARD_WITHIN = timedelta(seconds=10)


class Agent(LocalElasticAgent):
    """The processes of this machine. Raises what they ended with, on every machine of the run alike."""

    def __init__(self, spec: WorkerSpec, reports: Reports, meet_within: float, say: Callable[[str], None]) -> None:
        super().__init__(spec, reports)
        self._reports = reports
        self._meet_within = meet_within
        self._say = say
        self._restarts = 0
        self._started = time.monotonic()
        self._group: WorkerGroup | None = None

    def _start_workers(self, worker_group: WorkerGroup) -> dict[int, Any]:
        self._group = worker_group
        self._started = time.monotonic()
        started: dict[int, Any] = super()._start_workers(worker_group)
        return started

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        if worker_group.group_world_size > 1 and (error := self.told_elsewhere()) is not None:
            raise error
        result = super()._monitor_workers(worker_group)
        if result.state is WorkerState.HEALTHY:
            self._refuse_waiting_forever()
        elif result.is_failed():
            self._consider(result.failures)
        return result

    def told_elsewhere(self) -> BoresightError | None:
        """What another machine ended the run with."""
        group = self._group
        if group is None or group.store is None or not group.store.check([ENDED]):
            return None
        group.store.set(f"{HEARD}/{group.group_rank}", "")
        return from_told(json.loads(group.store.get(ENDED)))

    def _consider(self, failures: Mapping[int, ProcessFailure]) -> None:
        """Raise what the processes ended with, or say that they start again."""
        ending = self._reports.ending(failures)
        most = self._worker_group.spec.max_restarts
        if ending.final or self._restarts >= most:
            raise self._told_to_all(ending.error)
        self._restarts += 1
        self._say(
            f"{ending.line}; all processes start again from the last checkpoint (restart {self._restarts} of {most})"
        )

    def _refuse_waiting_forever(self) -> None:
        if time.monotonic() - self._started > self._meet_within and not self._reports.met:
            raise self._told_to_all(
                EndedError(
                    f"the processes have not found each other within {self._meet_within:g} seconds. See that every "
                    "machine of the run can reach every other by its host name. Nothing was trained.",
                    2,
                )
            )

    def _told_to_all(self, error: BoresightError) -> BoresightError:
        """Leave word for the other machines, and wait a little until they have it."""
        group = self._worker_group
        if group.group_world_size > 1 and group.store is not None:
            others = [f"{HEARD}/{rank}" for rank in range(group.group_world_size) if rank != group.group_rank]
            _tell(group.store, json.dumps(as_told(error)), others)
        return error


def _tell(store: Store, text: str, heard: list[str]) -> None:
    try:
        store.set(ENDED, text)
        store.wait(heard, HEARD_WITHIN)
    except (RuntimeError, ValueError):  # a machine that is gone hears nothing: the error itself is what counts
        pass
