"""A pipeline by several processes that torch's elastic agent starts, watches, and starts again."""

import logging
import os
import pickle
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.distributed.elastic.agent.server.api import WorkerSpec
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.rendezvous import RendezvousError

from boresight.config.pipeline import Pipeline
from boresight.config.several_processes import refuse_what_is_for_one
from boresight.environment.machine import processors
from boresight.launch.torchrun.agent import Agent
from boresight.launch.torchrun.layout import (
    Layout,
    notes,
    refuse_what_cannot_be_met,
)
from boresight.launch.torchrun.rendezvous import LOOPBACK, meeting_place, not_met, place_of
from boresight.launch.torchrun.reports import EndedError, Reports
from boresight.launch.torchrun.worker import Job
from boresight.pipeline.run import Outcome, require_stage


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchrunRun:
    """Builds pipelines as `boresight.pipeline.run.run_pipeline` does, by several processes."""

    layout: Layout

    def __call__(
        self,
        pipeline: Pipeline,
        out: Path,
        *,
        only: str | None = None,
        start: str | None = None,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    ) -> Outcome:
        """Raises ConfigError, PlanError or ClusterError before anything is started; then what a stage raises, and
        EndedError where processes die too often, other machines do not come, or a signal ends this one."""
        self.refuse(pipeline, only, start)
        for note in notes(pipeline, self.layout, only):
            say(note)
        with tempfile.TemporaryDirectory(prefix="boresight-") as name, _quiet(), _signals_given_back():
            folder = Path(name)
            alone = self.layout.rendezvous is None
            job = Job(
                pipeline=pipeline, out=out.absolute(), only=only, start=start, begun=folder / "begun" if alone else None
            )
            (folder / "job").write_bytes(pickle.dumps(job))
            return self._launched(pipeline.name, folder, say)

    def refuse(self, pipeline: Pipeline, only: str | None, start: str | None) -> None:
        """What can be told without looking at data or models: options, hardware, and settings that cannot be shared."""
        for option, name in (("--only", only), ("--from", start)):
            if name is not None:
                require_stage(pipeline, name, option)
        refuse_what_cannot_be_met(self.layout, torch.cuda.device_count())
        if self.layout.rendezvous is not None:
            place_of(self.layout.rendezvous)
        refuse_what_is_for_one(pipeline, self.layout.most, only)

    def _launched(self, name: str, folder: Path, say: Callable[[str], None]) -> Outcome:
        layout = self.layout
        handler = meeting_place(layout, name, say)
        reports = Reports(folder / "reports", _environment(layout.processes))
        spec = WorkerSpec(
            role="boresight",
            local_world_size=layout.processes,
            entrypoint=sys.executable,
            args=("-P", "-m", "boresight.launch.torchrun.worker", str(folder / "job")),
            rdzv_handler=handler,
            max_restarts=layout.restarts,
            local_addr=LOOPBACK if layout.rendezvous is None else None,
        )
        agent = Agent(spec, reports, layout.join_within, say)
        others_go_on = False
        try:
            with _own_store(), _ending_with_us():
                agent.run()
        except SignalException as received:
            others_go_on = layout.rendezvous is not None
            raise _ended_by(received.sigval) from None
        except RendezvousError as error:
            raise agent.told_elsewhere() or not_met(layout, error) from error
        finally:
            if not others_go_on:
                handler.shutdown()
        return reports.outcome()


def _ended_by(received: signal.Signals) -> BaseException:
    if received is signal.SIGINT:
        return KeyboardInterrupt()
    return EndedError(
        f"by {received.name}; so are all processes. The same command goes on from the last checkpoint.", 128 + received
    )


def _environment(processes: int) -> dict[str, str]:
    """What each process is given: an even share of the processors, unless that is decided already."""
    decided = "OMP_NUM_THREADS" in os.environ or processes == 1
    threads = {} if decided else {"OMP_NUM_THREADS": str(processors() // processes or 1)}
    return threads | {"TORCH_CPP_LOG_LEVEL": "ERROR"}


@contextmanager
def _own_store() -> Iterator[None]:
    """Processes meet in a store of their own, new at each attempt. In the agent's, which torch would share with them,
    they find the addresses of those that died."""
    name = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


@contextmanager
def _ending_with_us() -> Iterator[None]:
    """What is started within has a pipe as its standard input, whose other end is held here alone: it ends with this
    process, however that ends. See `boresight.launch.torchrun.worker.end_with_launcher`."""
    try:
        before = os.dup(0)
    except OSError:  # closed: what is opened next takes its number
        os.open(os.devnull, os.O_RDONLY)
        before = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        for descriptor in (reading, writing, before):
            os.close(descriptor)


@contextmanager
def _quiet() -> Iterator[None]:
    """torch's launcher tells in its log what is told here in a sentence."""
    loggers = [
        logging.getLogger(name) for name in logging.root.manager.loggerDict if name.startswith("torch.distributed")
    ]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _signals_given_back() -> Iterator[None]:
    """torch's agent takes over the signals that end a process, where it runs in the main thread."""
    names = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
    before = {number: signal.getsignal(number) for name in names if (number := getattr(signal, name, None)) is not None}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
