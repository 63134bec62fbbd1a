"""Runs a pipeline and kills its own process at a chosen moment; `test_resume` starts it with `runpy.run_path`.

Given are `pipeline`, `out`, `moment` ("half written", "before the rename" or "after the rename") and `count`: the
kill comes when that many files have been written and are to take their place.
"""

import itertools
import os
import signal
from pathlib import Path
from typing import Any

from boresight.pipeline.run import run_pipeline

moment: str = globals()["moment"]
limit: int = globals()["count"]
synced, renamed = itertools.count(1), itertools.count(1)
fsync, replace = os.fsync, Path.replace


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def watched_fsync(descriptor: int) -> None:
    if moment == "half written" and next(synced) == limit:
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        os.truncate(name, os.path.getsize(name) // 2)
        die()
    fsync(descriptor)


def watched_replace(self: Path, target: Any) -> Any:
    number = next(renamed)
    if moment == "before the rename" and number == limit:
        die()
    result = replace(self, target)
    if moment == "after the rename" and number == limit:
        die()
    return result


if __name__ == "__main__":
    os.fsync, Path.replace = watched_fsync, watched_replace  # type: ignore[method-assign]
    run_pipeline(globals()["pipeline"], globals()["out"], say=lambda line: None)
