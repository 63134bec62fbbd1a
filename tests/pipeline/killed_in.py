"""Builds a stage and kills its own process at a chosen call; `test_policy_kills` starts it with `runpy.run_path`.

Given are `pipeline`, `out`, `stage`, `phase` (a key of PHASES) and `count`: the kill comes with that many calls made,
before the next one is.
"""

import itertools
import os
import signal
from typing import Any

from boresight.models.decoder import Decoder
from boresight.pipeline.run import run_pipeline
from boresight.training import checkpoint, experience
from boresight.training.step import Updater

PHASES: dict[str, tuple[Any, str]] = {
    "rollout": (Decoder, "step"),
    "scoring": (experience, "scores_of"),
    "update": (Updater, "apply"),
    "checkpoint": (checkpoint, "_write"),
}


def kill_at(phase: str, count: int) -> None:
    owner, name = PHASES[phase]
    plain, calls = getattr(owner, name), itertools.count()

    def watched(*given: Any, **named: Any) -> Any:
        if next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*given, **named)

    setattr(owner, name, watched)


if __name__ == "__main__":
    kill_at(globals()["phase"], globals()["count"])
    run_pipeline(globals()["pipeline"], globals()["out"], only=globals()["stage"], say=lambda line: None)
