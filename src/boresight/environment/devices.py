"""What PyTorch can compute on, asked in a process of its own: nobody waits for torch who does not want to know."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

PROGRAM = """
import json, torch
told = {"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": [],
        "mps": torch.backends.mps.is_available(), "threads": torch.get_num_threads()}
try:
    for number in range(torch.cuda.device_count()):
        has = torch.cuda.get_device_properties(number)
        gpu = {"name": has.name, "total": has.total_memory, "capability": f"{has.major}.{has.minor}"}
        told["gpus"].append(gpu)
        try:
            with torch.cuda.device(number):
                gpu["bfloat16"] = torch.cuda.is_bf16_supported(including_emulation=False)
                gpu["free"] = torch.cuda.mem_get_info(number)[0]
        except RuntimeError as error:
            gpu["fault"] = str(error).splitlines()[0]
except RuntimeError as error:
    told["fault"] = str(error).splitlines()[0]
print(json.dumps(told))
"""
LONGEST_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """Bytes in all and free; `bfloat16`: in hardware. `fault` is why the GPU cannot be used just now: other processes
    hold all of its memory, or have it for themselves."""

    name: str
    total: int
    capability: str
    free: int | None = None
    bfloat16: bool | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Devices:
    """What torch says; `fault` is why it says nothing, or where `torch` tells that it loads, nothing of its GPUs.
    `seconds` is how long it took to load and answer."""

    seconds: float
    fault: str | None = None
    torch: str | None = None
    cuda: str | None = None
    gpus: tuple[Gpu, ...] = ()
    mps: bool = False
    threads: int | None = None


def ask_torch(program: str = PROGRAM, *, interpreter: Sequence[str] = (sys.executable,)) -> Devices:
    """Never raises: what goes wrong while torch loads is just what is looked for."""
    began = time.monotonic()
    try:
        ended = subprocess.run(
            [*interpreter, "-c", program], capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Devices(time.monotonic() - began, fault=str(error))
    seconds = time.monotonic() - began
    if ended.returncode != 0:
        last = ended.stderr.strip().splitlines()[-1:] or [f"the process ended with {ended.returncode}"]
        return Devices(seconds, fault=last[0])
    told = json.loads(ended.stdout.splitlines()[-1])
    gpus = tuple(Gpu(**gpu) for gpu in told.pop("gpus"))
    return Devices(seconds, gpus=gpus, **told)
