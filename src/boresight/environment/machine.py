"""The machine as this process sees it: processor, memory, disk. Nothing but the standard library and our planner."""

import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from boresight.planning.hardware import process_memory

CPU_INFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16", "avx_ne_convert", "bf16")
"""Flags of processors (x86, Arm) that multiply bfloat16 themselves; without one of them it is done in float32."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes on the file system of a folder, and what lies there."""

    what: str
    folder: Path
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Machine:
    """`cores` are those this process may use, `memory` the bytes it may have (a container's limit counts).

    `bfloat16`: the processor multiplies bfloat16 itself; None where that cannot be told.
    """

    system: str
    processor: str
    cores: int
    memory: int
    memory_free: int | None
    bfloat16: bool | None
    python: str
    interpreter: str
    disks: tuple[Disk, ...]


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def this_machine() -> Machine:
    """System, processor, memory, disk and GPUs, as they are now."""
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=processor_name(),
        cores=processors(),
        memory=process_memory(),
        memory_free=free_memory(),
        bfloat16=multiplies_bfloat16(),
        python=platform.python_version(),
        interpreter=sys.executable,
        disks=tuple(disk_of(what, folder) for what, folder in places().items()),
    )


def places() -> dict[str, Path]:
    """Where runs and temporary files go, and where models and data sets are cached."""
    cache = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return {"runs": Path.cwd(), "temporary": Path(tempfile.gettempdir()), "models": Path(cache).expanduser()}


def disk_of(what: str, folder: Path) -> Disk:
    """Of a folder that is not there yet, the file system it would be made on."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    usage = shutil.disk_usage(there)
    return Disk(what, folder, usage.free, usage.total)


def cpu_flags(info: Path = CPU_INFO) -> frozenset[str] | None:
    """What the processor says that it can do; None where the system does not tell."""
    lines = _lines(info)
    told = next((line.partition(":")[2] for line in lines if line.split(":")[0].strip() in ("flags", "Features")), None)
    return None if told is None else frozenset(told.split())


def multiplies_bfloat16() -> bool | None:
    """Whether the processor does so itself; None where the system does not tell."""
    flags = cpu_flags()
    return None if flags is None else any(flag in flags for flag in BFLOAT16_FLAGS)


def processor_name(info: Path = CPU_INFO) -> str:
    named = (line.partition(":")[2].strip() for line in _lines(info) if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def free_memory(info: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that new work can have without swapping; None where the system does not tell."""
    told = next((line.split()[1] for line in _lines(info) if line.startswith("MemAvailable:")), None)
    return None if told is None else min(1024 * int(told), process_memory())


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
