"""A stage that logs under real trackers, in a process of its own that can be killed: the tests start it.

python stage_under_trackers.py FOLDER TRACKER,... STEPS [KILLED_AFTER]

Prints, in JSON, every address outside this machine that the process asked for.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from boresight.trackers.feed import Feed
from boresight.trackers.tracker import RunCard
from boresight.training.run import Run

asked: list[str] = []


def listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo" or (event == "socket.connect" and arguments[0].family != socket.AF_UNIX):
        asked.append(f"{event} {arguments[1:] if event == 'socket.connect' else arguments[:2]}")


class Counter:
    """Something that changes while it is trained."""

    value = 0

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"]


def main(folder: Path, trackers: list[Any], steps: int, killed_after: int) -> None:
    sys.addaudithook(listen)
    settings = {"config.beta": 0.1, "lineage.key": "abc", "config.flag": True}
    feed = Feed(trackers, lambda run_id: RunCard(run_id, "run", "align", "dpo", settings, folder / "trackers"))
    stage = folder / "align.partial"
    stage.mkdir(parents=True, exist_ok=True)
    run = Run(stage, title="align", key="k", seed=0, checkpoint_every=2, feed=feed)
    counter = Counter()
    run.resume(counter=counter)
    for step in run.steps(steps):
        counter.value += step
        run.log(step, {"reward/margin": counter.value / 8, "loss/total": 1.0})
        if step % 3 == 0:
            run.log(step, {"eval/accuracy": 0.5 + step / 64}, split="held_out")
        run.save_if_due(step)
        if step == killed_after:
            os.kill(os.getpid(), signal.SIGKILL)
    feed.close(finished=True)
    print(json.dumps(asked))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3]), int(sys.argv[4]) if sys.argv[4:] else -1)
