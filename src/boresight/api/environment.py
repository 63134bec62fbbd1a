"""`doctor_env`: what there is to work with, and what is missing. This module loads no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from boresight.api.faults import public
from boresight.api.result import Result
from boresight.environment.look import Environment, look_around
from boresight.environment.words import as_object, blocks_of
from boresight.tables import Block


@dataclass(frozen=True, repr=False)
class EnvironmentResult(Result):
    """Versions, machine, devices and extras; `problems` keep Boresight from working here."""

    found: Environment

    @property
    def ready(self) -> bool:
        """Nothing that every installation needs is missing; extras do not count."""
        return self.found.ready

    @property
    def problems(self) -> Sequence[str]:
        """What keeps this installation from working, as `boresight doctor-env` tells it; empty where nothing does."""
        return self.found.problems

    def to_dict(self) -> dict[str, Any]:
        return as_object(self.found)

    def blocks(self) -> Sequence[Block]:
        return blocks_of(self.found)


@public
def doctor_env(*, devices: bool = True) -> EnvironmentResult:
    """Versions, Python, devices, free memory and disk in bytes, and what is missing for each extra.

    `devices`: ask torch, in a process of its own, what it can compute on. Raises nothing for what is missing: that is
    what it tells.
    """
    return EnvironmentResult(look_around(devices=devices))
