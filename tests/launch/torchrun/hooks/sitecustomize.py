"""Loaded by every Python that starts with this folder on its path: ends, or stops, one of torchrun's processes.

HALTING names what which process does in which attempt: `1:0=die@demo:2` lets process 1 kill itself in step 2 of the
stage demo, in the first attempt; `0:1=halt@demo:5` lets process 0 tell its number and stop, in the second. Without a
place it happens before anything is loaded.
"""

import os
import signal
import sys
from typing import Any


def act(deed: str) -> None:
    if deed == "exit":
        sys.stderr.write("no module named that\n")
        sys.stderr.flush()
        os._exit(3)
    if deed == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    with open(os.environ["HALTING_TELLS"], "w") as pipe:
        pipe.write(f"{os.getpid()}\n")
    signal.pause()


def act_in_step(deed: str, stage: str, step: int) -> None:
    from boresight.training.run import Run

    log = Run.log

    def logged(self: Run, now: int, metrics: Any, split: str = "train") -> None:
        if self._title == stage and now >= step and split == "train":
            act(deed)
        log(self, now, metrics, split)

    Run.log = logged  # type: ignore[method-assign]


plan = dict(word.split("=") for word in os.environ.get("HALTING", "").split())
mine = plan.get(f"{os.environ.get('RANK')}:{os.environ.get('TORCHELASTIC_RESTART_COUNT')}")
if mine is not None:
    deed, _, place = mine.partition("@")
    if place:
        act_in_step(deed, place.split(":")[0], int(place.split(":")[1]))
    else:
        act(deed)
