"""What there is to work with: installation, machine, devices, extras, and what is in the way."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import metadata, version

from packaging.specifiers import SpecifierSet

from boresight.environment.devices import Devices, ask_torch
from boresight.environment.machine import Machine, this_machine
from boresight.environment.packages import NAME, Extra, Package, core_packages, extras


@dataclass(frozen=True, slots=True)
class Environment:
    """`devices` is None where torch was not asked."""

    version: str
    pythons: str
    machine: Machine
    packages: tuple[Package, ...]
    extras: tuple[Extra, ...]
    devices: Devices | None

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps Boresight from working here; extras are asked for, so one that lacks is none."""
        return tuple(_problems(self))

    @property
    def ready(self) -> bool:
        return not self.problems


def look_around(*, devices: bool = True) -> Environment:
    """`devices`: ask torch, in a process of its own, what it can compute on; that takes as long as it takes to load."""
    return Environment(
        version=version(NAME),
        pythons=str(metadata(NAME)["Requires-Python"]),
        machine=this_machine(),
        packages=core_packages(),
        extras=extras(),
        devices=ask_torch() if devices else None,
    )


def _problems(found: Environment) -> Iterator[str]:
    if not SpecifierSet(found.pythons).contains(found.machine.python, prereleases=True):
        yield f"Python {found.machine.python}: expected {found.pythons}. Make an environment of one of these."
    lacking = [package for package in found.packages if not package.fits]
    for package in lacking:
        have = "is not installed" if package.found is None else f"{package.found} is installed"
        yield f"{package.name}: {have}, expected {package.wanted}. pip install '{package.name}{package.wanted}'"
    devices = found.devices
    if devices is None or devices.fault is None or "torch" in {one.name for one in lacking}:
        return
    if devices.torch is None:
        yield f"torch is installed and does not load: {devices.fault}. Install it again, for this Python."
    else:
        yield (
            f"torch loads, but its GPUs do not answer: {devices.fault}. See what `nvidia-smi` says of the driver; with "
            "CUDA_VISIBLE_DEVICES= (nothing behind it) runs take the processor."
        )
