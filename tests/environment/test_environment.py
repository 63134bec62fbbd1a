"""The state of an installation, from made requirements, made files of the system and a torch that is not there."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from boresight.environment.devices import PROGRAM, Devices, ask_torch
from boresight.environment.look import Environment
from boresight.environment.machine import cpu_flags, disk_of, free_memory, processor_name, this_machine
from boresight.environment.packages import core_packages, extras
from boresight.environment.words import as_object, blocks_of
from boresight.tables import joined

LINES = [
    "numpy>=2.0",
    "no-such-package>=1",
    "pydantic>=99",
    'rich>=14; extra == "shown"',
    'also-not-there; extra == "missing"',
    "also-not-there; platform_system == 'Nowhere' and extra == 'elsewhere'",
    "pytest; extra == 'dev'",
]
NAMES = ["shown", "missing", "elsewhere", "dev", "all"]


def made(devices: Devices | None = None, lines: list[str] = LINES) -> Environment:
    return Environment("1.2.3", ">=3.11,<3.14", this_machine(), core_packages(lines), extras(lines, NAMES), devices)


def test_requirements_are_held_against_what_is_installed() -> None:
    numpy, absent, old = core_packages(LINES)
    assert (numpy.fits, numpy.found) == (True, version("numpy"))
    assert (absent.fits, absent.found) == (False, None)
    assert (old.fits, old.found) == (False, version("pydantic"))


def test_an_extra_tells_what_it_lacks_and_the_line_that_brings_it() -> None:
    shown, missing, elsewhere = extras(LINES, NAMES)
    assert shown.install is None and shown.lacking == ()
    assert missing.install == "pip install 'boresight[missing]'" and missing.lacking[0].name == "also-not-there"
    assert elsewhere.applies is False and elsewhere.install is None


def test_our_own_requirements_are_met_where_the_tests_run() -> None:
    """But for packages that a newer checkout asks for, the environment of the tests is one that works."""
    assert [package.name for package in core_packages() if not package.fits] == []
    assert {"web", "dist", "vllm"} <= {extra.name for extra in extras()}


def test_what_is_missing_or_out_of_range_is_a_problem_and_an_extra_is_none() -> None:
    found = made()
    assert [line.split(":")[0] for line in found.problems] == ["no-such-package", "pydantic"]
    assert not found.ready and made(lines=LINES[:1] + LINES[3:]).ready
    text = joined(blocks_of(found))
    assert "NOT READY" in text and "<- missing" in text and "<- outside of that range" in text
    told = as_object(found)
    assert told["devices"] is None and told["extras"][1]["missing"][0]["name"] == "also-not-there"


def test_a_torch_that_does_not_load_is_a_problem_with_its_reason() -> None:
    broken = ask_torch("raise OSError('libcudart.so: cannot open shared object file')")
    assert broken.fault == "OSError: libcudart.so: cannot open shared object file" and broken.seconds > 0
    found = made(broken, LINES[:1])
    assert found.problems == (
        f"torch is installed and does not load: {broken.fault}. Install it again, for this Python.",
    )
    assert ask_torch(interpreter=("/no/such/python",)).fault is not None


TORCH = """
import sys, types
class Device:
    def __init__(self, number): self.number = number
    def __enter__(self):
        if self.number == 2: raise RuntimeError("CUDA error: out of memory\\nCUDA kernel errors may come later")
    def __exit__(self, *_): pass
GIB = 2**30
cuda = types.SimpleNamespace(
    device_count=lambda: 3, device=Device, is_bf16_supported=lambda including_emulation: True,
    get_device_properties=lambda number: types.SimpleNamespace(name="H200", total_memory=2 * GIB, major=9, minor=0),
    mem_get_info=lambda number: ((2 * GIB - GIB // 2, GIB // 2)[number], 2 * GIB))
torch = types.ModuleType("torch")
torch.cuda, torch.__version__, torch.version = cuda, "9.9", types.SimpleNamespace(cuda="13.0")
torch.backends = types.SimpleNamespace(mps=types.SimpleNamespace(is_available=lambda: False))
torch.get_num_threads = lambda: 4
sys.modules["torch"] = torch
"""
"""A torch that sees three GPUs: a free one, a busy one, and one whose memory others hold to the last byte."""


def test_gpus_are_told_with_what_of_them_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    found = made(ask_torch(TORCH + PROGRAM), LINES[:1])
    assert found.devices is not None and found.devices.fault is None and found.ready
    free, busy, full = (line for line in joined(blocks_of(found)).splitlines() if "H200 (9.0)" in line)
    assert "1.5 GiB of 2.0 GiB free, bfloat16 yes" in free and "nvidia-smi" not in free
    assert "512.0 MiB of 2.0 GiB free (nvidia-smi names the processes that hold the rest)" in busy
    assert "2.0 GiB, none to be had now: CUDA error: out of memory; nvidia-smi" in full
    assert as_object(found)["devices"]["gpus"][2]["free"] is None


def test_gpus_that_do_not_answer_are_no_torch_to_install_again() -> None:
    broken = (
        "torch.cuda.device_count = lambda: (_ for _ in ()).throw(RuntimeError('CUDA driver initialization failed'))"
    )
    (problem,) = made(ask_torch(TORCH + broken + PROGRAM), LINES[:1]).problems
    assert "torch loads, but its GPUs do not answer: CUDA driver initialization failed." in problem
    assert "Install it again" not in problem


def test_the_processor_tells_its_name_and_whether_it_multiplies_bfloat16(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nmodel name : Fast One\nflags : fpu avx512_bf16\n")
    assert processor_name(info) == "Fast One" and cpu_flags(info) == {"fpu", "avx512_bf16"}
    assert cpu_flags(tmp_path / "absent") is None


def test_memory_and_disk_are_those_of_the_system(tmp_path: Path) -> None:
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 2048 kB\nMemAvailable: 1024 kB\n")
    assert free_memory(info) == 1024**2 and free_memory(tmp_path / "absent") is None
    disk = disk_of("runs", tmp_path / "not/yet/there")
    assert 0 < disk.free <= disk.total


@pytest.mark.skipif(sys.platform != "linux", reason="the files of /proc are Linux'")
def test_this_machine_is_described() -> None:
    machine = this_machine()
    assert machine.cores >= 1 and machine.memory > 2**28 and machine.memory_free and machine.bfloat16 is not None
    assert [disk.what for disk in machine.disks] == ["runs", "temporary", "models"]
