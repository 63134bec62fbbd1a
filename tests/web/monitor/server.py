"""The real command on loopback, for as long as a test needs it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boresight

SOURCES = str(Path(boresight.__path__[0]).parent)


@contextmanager
def monitor(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the link that it prints once it answers."""
    command = [sys.executable, "-m", "boresight", "monitor", str(folder), "--port", "0", *options]
    environment = os.environ | {"PYTHONPATH": SOURCES}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()
