"""The state of an installation as text for people and as one JSON object."""

from dataclasses import asdict
from typing import Any

from boresight.data.wording import counted
from boresight.environment.devices import Devices, Gpu
from boresight.environment.look import Environment
from boresight.environment.packages import Package
from boresight.tables import Block, Table, bytes_text


def as_object(found: Environment) -> dict[str, Any]:
    """Bytes are bytes; `devices` is null where torch was not asked."""
    machine = asdict(found.machine)
    machine["disks"] = [{**disk, "folder": str(disk["folder"])} for disk in machine["disks"]]
    return {
        "boresight": found.version,
        "ready": found.ready,
        "problems": list(found.problems),
        "machine": machine,
        "devices": None if found.devices is None else asdict(found.devices),
        "packages": [asdict(package) for package in found.packages],
        "extras": [
            {
                "name": extra.name,
                "installed": extra.applies and not extra.lacking,
                "applies": extra.applies,
                "missing": [asdict(package) for package in extra.lacking],
                "install": extra.install,
            }
            for extra in found.extras
        ],
    }


def blocks_of(found: Environment) -> list[Block]:
    """What was found as people read it: the verdict and its problems first, then the tables."""
    verdict = "ready" if found.ready else "NOT READY"
    problems = "".join(f"\n  {problem}" for problem in found.problems)
    return [
        f"boresight {found.version}, Python {found.machine.python} ({found.machine.interpreter}): {verdict}{problems}",
        _machine_table(found),
        Table([["package", "found", "wanted"], *(_package_row(package) for package in found.packages)]),
        _extras_table(found),
    ]


def _machine_table(found: Environment) -> Table:
    machine = found.machine
    able = {True: "in hardware", False: "in software, slower than float32", None: "the system does not tell"}
    free = "" if machine.memory_free is None else f"{bytes_text(machine.memory_free)} free"
    rows = [
        ["machine", machine.system, ""],
        ["processor", machine.processor, f"{counted(machine.cores, 'core')}, bfloat16 {able[machine.bfloat16]}"],
        ["memory", bytes_text(machine.memory), free],
        *_device_rows(found.devices),
    ]
    rows += [[f"disk of {disk.what}", str(disk.folder), f"{bytes_text(disk.free)} free"] for disk in machine.disks]
    return Table(rows, headed=False)


def _device_rows(devices: Devices | None) -> list[list[str]]:
    if devices is None:
        return [["GPU", "not looked for", "--devices asks torch"]]
    took = f"torch took {devices.seconds:.1f} s to answer"
    if devices.fault is not None:
        return [["GPU", "torch gives no answer", devices.fault]]
    rows = [["GPU", f"{gpu.name} ({gpu.capability})", _state(gpu)] for gpu in devices.gpus]
    rows += (
        [["GPU", "Apple MPS", "seen by torch, not used: models run on CUDA or on the processor"]] if devices.mps else []
    )
    return [*(rows or [["GPU", "none that torch can use", f"torch {devices.torch}"]]), ["", "", took]]


def _state(gpu: Gpu) -> str:
    """What of a GPU there is to be had, and where that is little, who knows why."""
    if gpu.free is None:
        return (
            f"{bytes_text(gpu.total)}, none to be had now: {gpu.fault}; nvidia-smi names the processes that hold it, "
            "CUDA_VISIBLE_DEVICES takes another GPU"
        )
    busy = "" if gpu.free > gpu.total / 2 else " (nvidia-smi names the processes that hold the rest)"
    free = f"{bytes_text(gpu.free)} of {bytes_text(gpu.total)} free{busy}"
    return f"{free}, bfloat16 {'yes' if gpu.bfloat16 else 'no'}"


def _package_row(package: Package) -> list[str]:
    note = "" if package.fits else "  <- missing" if package.found is None else "  <- outside of that range"
    return [package.name, package.found or "-", package.wanted + note]


def _extras_table(found: Environment) -> Table:
    rows = [["extra", "state", "brought by"]]
    for extra in found.extras:
        names = ", ".join(package.name for package in extra.lacking)
        state = "installed" if not extra.lacking else f"lacks {names}"
        rows.append([extra.name, state if extra.applies else "not for this system", extra.install or ""])
    return Table(rows)
