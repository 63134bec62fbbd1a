"""What models may lie on: a catalogue of GPUs from their makers' data sheets, and this machine's processor.

Prices are not in it: they change by the week and by the contract; give yours with `--cost-per-gpu-hour`.
"""

import difflib
import json
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from boresight.errors import PlanError
from boresight.planning.calibration import Calibration

TABLE = Path(__file__).with_name("hardware.json")
COMFORTABLE, MOST = 0.94, 0.98
"""Parts of a GPU's memory that a plan may fill: lengths vary, and an allocator leaves holes that it cannot give."""
CONTEXT_BYTES = 2**30
"""What the driver's context and kernels take on a GPU; 0.6 to 1 GiB is usual."""
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
SPECIFICATION = re.compile(r"^\s*(?:(?P<count>-?\d+(?:\.\d+)?)\s*[x×*]\s*)?(?P<name>[A-Za-z][\w.+-]*)\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One GPU, or a processor with its memory."""

    name: str
    memory: int
    """Bytes."""
    flops: float
    """Operations a second of dense products in bfloat16 at the maker's peak; of a processor, measured."""
    bandwidth: float
    """Bytes a second to its memory."""
    link: float
    """Bytes a second to its neighbours in the same machine, both ways together."""
    source: str

    @property
    def is_cpu(self) -> bool:
        return self.name == "cpu"

    @property
    def usable(self) -> int:
        """Bytes for tensors and context beyond which nothing fits."""
        return int(self.memory * MOST)

    @property
    def comfortable(self) -> int:
        """Bytes up to which a plan is not a close thing."""
        return int(self.memory * COMFORTABLE)


@dataclass(frozen=True, slots=True)
class Machine:
    """Some devices of one kind."""

    count: int
    device: Device

    def __str__(self) -> str:
        return self.device.name if self.device.is_cpu else f"{self.count}x{self.device.name}"


@cache
def catalogue() -> dict[str, Device]:
    """All devices that are known, by name: memory in bytes, speeds in FLOP/s and bytes a second, with sources."""
    rows = json.loads(TABLE.read_text(encoding="utf-8"))
    return {
        name: Device(
            name=name,
            memory=row["memory_mib"] * 2**20,
            flops=row["tflops"] * 1e12,
            bandwidth=row["bandwidth_gb"] * 1e9,
            link=row["link_gb"] * 1e9,
            source=row["source"],
        )
        for name, row in rows.items()
    }


def find_machine(text: str, calibration: Calibration) -> Machine:
    """`2xA100-80GB`, `H200-141GB`, `cpu`. Raises PlanError for a count below 1 and for a name that is not known."""
    found = SPECIFICATION.match(text)
    if found is None:
        raise PlanError(
            f"--gpus {text}: cannot be read; expected COUNTxNAME, for example 2xA100-80GB, or cpu. Write it so."
        )
    written = found["count"] or "1"
    if "." in written or int(written) < 1:
        raise PlanError(
            f"--gpus {text}: a count of {written}; expected a whole number of at least 1, or cpu. Correct the count."
        )
    if found["name"].lower() == "cpu":
        return Machine(1, this_cpu(calibration))
    return Machine(int(written), _known(text, found["name"]))


def _known(text: str, name: str) -> Device:
    devices = {key.lower(): device for key, device in catalogue().items()}
    key = name.lower().removeprefix("nvidia-").removeprefix("amd-")
    if key in devices:
        return devices[key]
    begun = [device.name for found, device in devices.items() if found.split("-")[0] == key]
    begun = begun or [device.name for found, device in devices.items() if found.startswith(key)]
    if len(begun) == 1:
        return catalogue()[begun[0]]
    if begun:
        raise PlanError(
            f"--gpus {text}: {name} is made in several forms; expected one of {', '.join(begun)}. Name one of these."
        )
    near = difflib.get_close_matches(key, devices, 3, 0.4) or list(devices)
    names = " or ".join(devices[one].name for one in near[:3])
    raise PlanError(
        f"--gpus {text}: no GPU {name} in the catalogue. Did you mean {names}? `boresight plan --list gpus`."
    )


def device_of(driver_name: str, memory: int) -> Device | None:
    """The catalogue's entry for a GPU as its driver names it (NVIDIA A100-SXM4-80GB) and counts its memory; None for
    one that is not listed."""
    words = set(re.split(r"[\s_/-]+", driver_name.lower().replace("rtx ", "rtx")))
    fitting = [d for d in catalogue().values() if d.name.split("-")[0].lower() in words]
    if "pcie" in words:
        fitting = [d for d in fitting if d.name.endswith("PCIe")] or fitting
    return min(fitting, key=lambda d: abs(d.memory - memory), default=None)


def process_memory() -> int:
    """Bytes that a process here may have: the machine's, or its container's limit."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in map(Path, CGROUP_LIMITS):
        if limit.is_file() and (text := limit.read_text(encoding="ascii").strip()).isdigit():
            memory = min(memory, int(text))
    return memory


def this_cpu(calibration: Calibration) -> Device:
    """This machine's memory, with speeds as they were measured on the machine of the calibration."""
    return Device(
        name="cpu",
        memory=process_memory(),
        flops=calibration.cpu_flops,
        bandwidth=calibration.cpu_bandwidth,
        link=calibration.cpu_bandwidth,
        source=calibration.source,
    )
