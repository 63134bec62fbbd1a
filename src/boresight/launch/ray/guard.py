"""A process of its own that ends what is left of a cluster of ours once the process that began it is gone.

Ray ends its processes with the one that called it, and where that was killed some live on for minutes. All of them
inherit a mark in their environment; who gives himself a title writes it over that, but is known by whose child he was.
They are killed when the pipe to the guard closes, which the kernel does at any death. Linux alone has /proc to find
them in; elsewhere nothing is guarded.
"""

import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = "BORESIGHT_RAY_RUN"
PATIENCE = 20.0  # seconds for what is killed to be gone
QUIET = 1.0  # seconds without one of them after which there is none: one that is being begun shows no mark yet
LOOK_EVERY = 1.0  # seconds, for who has been begun
PROC = Path("/proc")


@contextmanager
def guarded() -> Iterator[None]:
    """Processes that are begun within, and theirs, end with the block, or with this process if that dies before."""
    if not PROC.is_dir():
        yield
        return
    mark = uuid.uuid4().hex
    # In a session of its own, so that what a terminal sends to all reaches it as the end of this process alone.
    guard = subprocess.Popen([sys.executable, "-I", __file__, mark], stdin=subprocess.PIPE, start_new_session=True)
    assert guard.stdin is not None
    os.environ[MARK] = mark
    try:
        yield
    finally:
        del os.environ[MARK]
        guard.stdin.close()
        guard.wait()


def living(mark: str, known: Mapping[int, int]) -> dict[int, int]:
    """Processes that bear the mark, those of `known` that still live, and the children of all these; with the ticks at
    which each began, since numbers are given anew."""
    parents, began = {}, {}
    found = set()
    for folder in PROC.glob("[0-9]*"):
        try:
            inherited, status = (folder / "environ").read_bytes(), (folder / "stat").read_text()
        except OSError:
            continue  # it has ended meanwhile, or is another's
        process, fields = int(folder.name), status.rpartition(")")[2].split()
        if fields[0] == "Z":
            continue
        parents[process], began[process] = int(fields[1]), int(fields[19])
        if f"{MARK}={mark}\0".encode() in inherited or known.get(process) == began[process]:
            found.add(process)
    while children := {process for process, parent in parents.items() if parent in found} - found:
        found |= children
    return {process: began[process] for process in found}


def end_all(mark: str, known: Mapping[int, int]) -> None:
    """Kill them all, until there has been none for a while."""
    seen = begun = time.monotonic()
    while (now := time.monotonic()) < min(seen + QUIET, begun + PATIENCE):
        known = living(mark, known)
        for process in known:
            seen = now
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


if __name__ == "__main__":
    own, met = sys.argv[1], dict[int, int]()
    while not select.select([sys.stdin], [], [], LOOK_EVERY)[0]:  # the pipe has nothing in it before its end
        met = living(own, met)
    end_all(own, met)
