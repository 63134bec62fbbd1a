"""One of the processes that `launch torchrun` starts: `python -m boresight.launch.torchrun.worker JOB`."""

import os
import pickle
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from boresight.config.pipeline import Pipeline
from boresight.errors import ConfigError
from boresight.launch.torchrun.group import joined
from boresight.launch.torchrun.reports import report_error, report_outcome, say_met
from boresight.pipeline.run import Outcome, follow_run, run_pipeline
from boresight.storage import hash_text
from boresight.training.processes import Processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all processes of a machine are to do together."""

    pipeline: Pipeline
    out: Path
    only: str | None
    start: str | None
    begun: Path | None
    """See `boresight.pipeline.run.run_pipeline`."""


def main() -> None:
    """Do this process's share, and leave word of how it ended; nothing is printed, since others may tell the same."""
    threading.Thread(target=end_with_launcher, daemon=True).start()
    try:
        job: Job = pickle.loads(Path(sys.argv[1]).read_bytes())
        with joined() as processes:
            say_met()
            outcome = take_part(job, processes)
        report_outcome(outcome)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception as error:  # whatever it is, the launcher tells it, once
        sys.exit(report_error(error))


def take_part(job: Job, processes: Processes) -> Outcome:
    """Build the pipeline with the other processes; all come to know what the first made of it."""
    mine = hash_text(job.pipeline.to_yaml())
    if processes.agreed(mine) != mine:
        raise ConfigError(
            f"{job.pipeline.path}: is not what the first process was given: other settings, or another file. Start all "
            "machines with the same pipeline and the same --set."
        )
    outcome = None
    if processes.first:
        outcome = run_pipeline(
            job.pipeline, job.out, only=job.only, start=job.start, begun=job.begun, processes=processes
        )
    else:
        follow_run(job.pipeline, job.out, processes)
    agreed = processes.agreed(outcome)
    assert agreed is not None
    return agreed


def end_with_launcher() -> None:
    """Wait for the end of the launcher, which holds the other end of standard input, and end at once: killed, it could
    not have ended us. Whatever is being written is whole or not there at all."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
