"""What a process tells the launcher of its end, in the file that torch gives it for that, and what is made of it there.

torch looks at exit codes and would start everything again whatever went wrong. Here what a person has to mend is final.
"""

import os
import signal
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, LogsDest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from boresight import errors
from boresight.errors import BoresightError, ClusterError, ConfigError
from boresight.pipeline.run import Outcome
from boresight.storage import as_storage_error, read_json, write_json

FILE = "TORCHELASTIC_ERROR_FILE"
MET = "met"
FAULT = 1
SHORT = 160  # characters of an error that are told before another attempt
TAKEN = "address already in use"
"""Said where another program has taken the port between its choice and its use; the next attempt has another port."""
CRASHES = (signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
"""Signals that come first where several processes ended: the others' ends follow from such a death."""
Told = dict[str, Any]


class EndedError(ClusterError):
    """A run whose processes ended otherwise than with a result or a message; `exit_code` is that of the launcher."""

    label = "ended"

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def say_met() -> None:
    """Leave word that all processes have found each other."""
    Path(os.environ[FILE]).with_name(MET).touch()


def report_outcome(outcome: Outcome) -> None:
    """Leave what the run came to."""
    told = {"folder": str(outcome.folder), "built": outcome.built, "reused": outcome.reused, "gates": outcome.gates}
    _report("outcome", told)


def report_error(error: Exception) -> int:
    """Leave an error for the launcher to tell; returns the exit code to leave with."""
    known = error if isinstance(error, BoresightError) else as_storage_error(error)
    if known is None:
        _report("fault", {"traceback": "".join(traceback.format_exception(error)).strip()})
        return FAULT
    _report("error", as_told(known))
    return 2


def _report(kind: str, told: Told) -> None:
    # torch itself reads `message` and `timestamp`.
    head = {"message": kind, "timestamp": int(time.time()), "kind": kind, "nanoseconds": time.time_ns()}
    write_json(Path(os.environ[FILE]), head | told)


def as_told(error: BoresightError) -> Told:
    """An error in words that another process can make it from."""
    problems = error.problems if isinstance(error, ConfigError) else [str(error)]
    known = (EndedError, *(family for family in vars(errors).values() if isinstance(family, type)))
    family = next(family for family in type(error).__mro__ if family in known)
    return {"family": family.__name__, "problems": problems, "exit_code": getattr(error, "exit_code", 2)}


def from_told(told: Told) -> BoresightError:
    """The error again, of its own family."""
    if told["family"] == EndedError.__name__:
        return EndedError(told["problems"][0], told["exit_code"])
    family = getattr(errors, told["family"])
    error: BoresightError = family(told["problems"] if family is ConfigError else "\n".join(told["problems"]))
    return error


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the processes of an attempt ended: what to raise, and whether another attempt could come to anything."""

    error: BoresightError
    final: bool
    line: str = ""
    """The same in short, to be told before another attempt."""


class Reports(DefaultLogsSpecs):
    """The files of the processes of one machine, of their last attempt."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        super().__init__(log_dir=str(folder))
        self._environment = environment
        self._files: dict[int, Path] = {}
        self._count = 0

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """Called by torch before each attempt, with what it would add to each process's environment."""
        destinations = super().reify(envs)
        self._files = {rank: Path(file) for rank, file in destinations.error_files.items()}
        for env in envs.values():
            self._count = int(env["WORLD_SIZE"])
            env.update(self._environment)
        return destinations

    @property
    def met(self) -> bool:
        """Whether the processes of this machine have found all others."""
        return all(file.with_name(MET).exists() for file in self._files.values())

    def outcome(self) -> Outcome:
        """Of a run that came to its end; every process tells the same."""
        told = read_json(self._files[0])
        return Outcome(Path(told["folder"]), tuple(told["built"]), tuple(told["reused"]), told["gates"])

    def ending(self, failures: Mapping[int, ProcessFailure]) -> Ending:
        """What was at the bottom of it, where processes (by number) failed: the others fall with the first."""
        reports = self._in_order()
        told = [report for report in reports if report["kind"] == "error"]
        if told:
            return Ending(from_told(told[0]), final=True)
        rank, failure, traceback = _at_the_bottom(failures, reports)
        who = f"process {rank} of {self._count} (id {failure.pid})"
        how, code = _how(failure) if traceback is None else (f"failed: {_in_short(traceback)}", FAULT)
        line = f"{who} {how}"
        detail = line if traceback is None else f"{traceback}\n{who} failed with this"
        if not self.met and TAKEN not in detail.lower():
            return Ending(EndedError(f"{detail}{_at_start(failure, traceback)}", code), final=True)
        kept = "The last checkpoint is kept, and the same command goes on from it."
        return Ending(EndedError(f"{detail}. {kept}", code), final=False, line=line)

    def _in_order(self) -> list[Told]:
        """What the processes have told, the first first."""
        told = [read_json(file) | {"local_rank": rank} for rank, file in self._files.items() if file.exists()]
        return sorted(told, key=lambda report: int(report["nanoseconds"]))


def _at_the_bottom(
    failures: Mapping[int, ProcessFailure], reports: Sequence[Told]
) -> tuple[int, ProcessFailure, str | None]:
    """The process that fell first, with its traceback if it has left one. torch ends those that remain with SIGTERM."""
    for rank, failure in failures.items():
        if -failure.exitcode in CRASHES:
            return rank, failure, None
    for report in reports:
        for rank, failure in failures.items():
            if report["kind"] == "fault" and report["local_rank"] == failure.local_rank:
                return rank, failure, report["traceback"]
    rank, failure = min(failures.items(), key=lambda item: item[1].exitcode == -signal.SIGTERM)
    return rank, failure, None


def _how(failure: ProcessFailure) -> tuple[str, int]:
    """How a process ended that told nothing, and the exit code that a shell would give for it."""
    if failure.exitcode < 0:
        return f"was killed by {failure.signal_name()}", 128 - failure.exitcode
    return f"left with exit code {failure.exitcode} and no message", FAULT


def _in_short(traceback: str) -> str:
    return shorten(traceback.splitlines()[-1], SHORT, placeholder=" …")


def _at_start(failure: ProcessFailure, traceback: str | None) -> str:
    cause = "; what it wrote stands above" if traceback is None else ""
    if -failure.exitcode == signal.SIGKILL:
        cause = (
            "; too little memory for so many processes is the usual cause: take fewer (--processes), or a smaller model"
        )
    return f" before the processes had found each other{cause}. Nothing was trained, and it is not tried again."
