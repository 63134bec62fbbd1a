"""torch's elastic agent, which starts processes and starts them again, taught what not to try again."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from torch.distributed.distributed_c10d import Store
from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup, WorkerSpec, WorkerState
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

    def _start_workers(self, worker_group: WorkerGroup) -> dict[int, Any]:
        self._started = time.monotonic()
        started: dict[int, Any] = super()._start_workers(worker_group)
        return started

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        if (error := self.told_elsewhere()) is not None:
            raise error
        result: RunResult = super()._monitor_workers(worker_group)
        if result.state is WorkerState.HEALTHY:
            self._refuse_waiting_forever()
        elif result.is_failed():
            self._consider(result.failures)
        return result

    def told_elsewhere(self) -> BoresightError | None:
        """What another machine ended the run with."""
        group = self._worker_group
        if (store := self._shared_store()) is None:
            return None
        try:
            if not store.check([ENDED]):
                return None
            store.set(f"{HEARD}/{group.group_rank}", "")
            return from_told(json.loads(store.get(ENDED)))
        except RuntimeError:  # the machine that holds the store is gone, which the agent finds out by itself
            return None

    def _shared_store(self) -> Store | None:
        """Of the machines that met last; None where this one is alone."""
        group = self._worker_group
        return group.store if (group.group_world_size or 1) > 1 else None

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
        """Leave word for the other machines, let none of them wait for this one, and stay until they have heard."""
        group = self._worker_group
        if (store := self._shared_store()) is not None:
            others = [f"{HEARD}/{rank}" for rank in range(group.group_world_size or 1) if rank != group.group_rank]
            with suppress(RuntimeError, ValueError):  # what is gone hears nothing: the error itself is what counts
                store.set(ENDED, json.dumps(as_told(error)))
                group.spec.rdzv_handler.set_closed()  # type: ignore[no-untyped-call]  # of torch
                store.wait(others, HEARD_WITHIN)
        return error
