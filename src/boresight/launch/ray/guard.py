"""A process of its own that ends what is left of a cluster of ours once the process that began it is gone.

Ray ends its processes with the one that called it, and where that was killed some live on for minutes. All of them
inherit a mark; whoever bears it is killed when the pipe to the guard closes, which the kernel does at any death. Linux
alone has /proc to find them in; elsewhere nothing is guarded.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = "BORESIGHT_RAY_RUN"
PATIENCE = 20.0  # seconds for what is killed to be gone
QUIET = (
    1.0  # seconds without a marked process after which there is none: one that is just being begun shows no mark yet
)
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
    os.environ.pop(MARK, None)  # of a block around this one: what was set last lies at the end, and
    os.environ[MARK] = mark  # processes that give themselves a title may write it over the beginning
    try:
        yield
    finally:
        del os.environ[MARK]
        guard.stdin.close()
        guard.wait()


def marked(mark: str) -> list[int]:
    """Living processes that bear the mark."""
    found = []
    for folder in PROC.glob("[0-9]*"):
        try:
            inherited, status = (folder / "environ").read_bytes(), (folder / "stat").read_text()
        except OSError:
            continue  # it has ended meanwhile, or is another's
        if f"{MARK}={mark}\0".encode() in inherited and ") Z" not in status:
            found.append(int(folder.name))
    return found


def end_all(mark: str) -> None:
    """Kill whoever bears the mark, until nobody has for a while."""
    seen = begun = time.monotonic()
    while (now := time.monotonic()) < min(seen + QUIET, begun + PATIENCE):
        for process in marked(mark):
            seen = now
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


if __name__ == "__main__":
    sys.stdin.buffer.read()  # to its end, which is that of the process on the other side
    end_all(sys.argv[1])
