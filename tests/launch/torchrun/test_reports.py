"""What the launcher makes of how its processes ended."""

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from boresight.data.tokenize import TooLongError
from boresight.errors import BoresightError, ConfigError, DataError, TrainingError
from boresight.launch.torchrun.reports import (
    FILE,
    EndedError,
    Ending,
    Reports,
    as_told,
    from_told,
    report_error,
    report_outcome,
    say_met,
)
from boresight.pipeline.run import Outcome

Process = Callable[[int], Any]
CONNECTION = RuntimeError("Connection closed by peer")


class Attempt:
    """Two processes of one machine, whose parts are played one after the other."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reports = Reports(folder, {"THREADS": "1"})
        self.envs = {rank: {"WORLD_SIZE": "2", "TORCHELASTIC_RESTART_COUNT": "0"} for rank in (0, 1)}
        self.files = self.reports.reify(self.envs).error_files
        self._monkeypatch = monkeypatch

    def of(self, rank: int, deed: Callable[[], object]) -> None:
        self._monkeypatch.setenv(FILE, self.envs[rank][FILE])
        deed()

    def meet(self) -> None:
        for rank in self.envs:
            self.of(rank, say_met)

    def ending(self, exit_codes: Mapping[int, int]) -> Ending:
        return self.reports.ending(
            {rank: ProcessFailure(rank, 100 + rank, code, str(self.files[rank])) for rank, code in exit_codes.items()}
        )


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attempt:
    return Attempt(tmp_path, monkeypatch)


def failed(error: Exception) -> Callable[[], object]:
    return lambda: report_error(error)


def test_processes_are_given_what_the_launcher_decides(attempt: Attempt) -> None:
    assert all(env["THREADS"] == "1" for env in attempt.envs.values())


def test_a_result_comes_back_as_it_was(attempt: Attempt) -> None:
    outcome = Outcome(Path("runs/a"), ("base",), ("demo",), {"gate": False})
    attempt.of(0, lambda: report_outcome(outcome))
    assert attempt.reports.outcome() == outcome


def test_what_a_person_can_mend_is_final_whoever_fell_first(attempt: Attempt) -> None:
    attempt.meet()
    attempt.of(0, failed(CONNECTION))
    attempt.of(1, failed(DataError("a.jsonl:1: no")))
    ending = attempt.ending({0: 1, 1: 2})
    assert ending.final and type(ending.error) is DataError and str(ending.error) == "a.jsonl:1: no"


def test_a_death_by_a_signal_comes_before_the_faults_that_follow_from_it(attempt: Attempt) -> None:
    attempt.meet()
    attempt.of(0, failed(CONNECTION))
    ending = attempt.ending({0: 1, 1: -signal.SIGKILL})
    assert not ending.final and ending.line == "process 1 of 2 (id 101) was killed by SIGKILL"
    assert isinstance(ending.error, EndedError) and ending.error.exit_code == 137


def test_a_fault_of_the_program_is_told_with_its_traceback(attempt: Attempt) -> None:
    attempt.meet()
    attempt.of(1, failed(KeyError("x")))
    ending = attempt.ending({0: -signal.SIGTERM, 1: 1})
    assert not ending.final and ending.line == "process 1 of 2 (id 101) failed: KeyError: 'x'"
    assert isinstance(ending.error, EndedError) and ending.error.exit_code == 1
    assert "KeyError: 'x'\nprocess 1 of 2 (id 101) failed with this" in str(ending.error)


def test_of_several_faults_the_first_is_told_wherever_it_was(attempt: Attempt) -> None:
    attempt.meet()
    attempt.of(1, failed(KeyError("x")))
    attempt.of(0, failed(CONNECTION))
    assert attempt.ending({0: 1, 1: 1}).line.startswith("process 1 of 2")


def test_a_process_that_left_by_itself_comes_before_one_that_was_then_ended(attempt: Attempt) -> None:
    ending = attempt.ending({0: -signal.SIGTERM, 1: 3})
    assert ending.final and str(ending.error).startswith("process 1 of 2 (id 101) left with exit code 3")


def test_a_fault_on_the_way_to_the_others_is_final_and_told_with_its_traceback(attempt: Attempt) -> None:
    attempt.of(0, failed(RuntimeError("no device")))
    ending = attempt.ending({0: 1})
    assert ending.final and "RuntimeError: no device\nprocess 0 of 2" in str(ending.error)


def test_a_process_killed_before_all_have_met_is_final(attempt: Attempt) -> None:
    attempt.of(0, say_met)
    ending = attempt.ending({1: -signal.SIGKILL})
    assert ending.final and "too little memory for so many processes is the usual cause" in str(ending.error)


def test_a_port_that_was_taken_in_between_is_tried_again(attempt: Attempt) -> None:
    attempt.of(0, failed(RuntimeError("bind: EADDRINUSE, Address already in use")))
    assert not attempt.ending({0: 1}).final


@pytest.mark.parametrize(
    "error", [ConfigError(["a", "b"]), DataError("c"), TrainingError("d\ne"), EndedError("f", 137)]
)
def test_errors_are_the_same_in_another_process(error: BoresightError) -> None:
    again = from_told(as_told(error))
    assert type(again) is type(error) and str(again) == str(error) and again.__dict__ == error.__dict__


def test_an_error_of_a_narrower_kind_keeps_its_family() -> None:
    assert type(from_told(as_told(TooLongError("x")))) is DataError
