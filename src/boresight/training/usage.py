"""Seconds and memory of the phases of a step."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

GIB = 2**30


class Usage:
    """What a step has taken so far, phase by phase, under the names of `boresight.runlog.names`."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._memory: dict[str, float] = {}
        self._tokens = 0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens within to a phase, which may come up several times in a step."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        yield
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - started
        self._memory[name] = max(self._memory.get(name, 0.0), memory_gib())

    def count_tokens(self, tokens: int) -> None:
        """Add tokens that were generated in this step."""
        self._tokens += tokens

    def metrics(self) -> dict[str, float]:
        """The step so far: seconds, GiB at the peak, tokens a second, by their names in `boresight.runlog.names`."""
        seconds = time.perf_counter() - self._started
        found = {"time/step_seconds": seconds}
        found |= {f"time/{name}_seconds": taken for name, taken in self._seconds.items()}
        found |= {f"memory/{name}_gib": used for name, used in self._memory.items()}
        if self._memory:
            found["memory/peak_gib"] = max(self._memory.values())
        if self._tokens:
            found["throughput/tokens_per_second"] = self._tokens / seconds
        if self._tokens and self._seconds.get("generate"):
            found["throughput/generated_tokens_per_second"] = self._tokens / self._seconds["generate"]
        return found


def reset_peak() -> None:
    """Let `peak_gib` begin anew; where the system offers no way to, it goes on."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_gib() -> float:
    """The highest memory since `reset_peak`: on a GPU of tensors, otherwise of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / GIB
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return next((int(line.split()[1]) * 1024 / GIB for line in lines if line.startswith("VmHWM")), memory_gib())
    return _highest_gib()


def memory_gib() -> float:
    """On a GPU the highest memory since its peak was reset; otherwise what this process holds now."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / GIB
    resident = Path("/proc/self/statm")
    if resident.exists():
        return int(resident.read_text().split()[1]) * resource.getpagesize() / GIB
    return _highest_gib()  # there is no other


def _highest_gib() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
