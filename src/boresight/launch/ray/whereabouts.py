"""Where a process of the run is, and with which versions of what decides its numbers."""

import os
import platform
import socket
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

from boresight.errors import ClusterError

PACKAGES = ("boresight", "torch", "transformers", "ray")


class Whereabouts(NamedTuple):
    """A process, its machine, and the versions there."""

    process: int
    node: str
    versions: Mapping[str, str]

    def __str__(self) -> str:
        return f"process {self.process} on {self.node}"


@cache
def here() -> Whereabouts:
    """Of this process."""
    versions = {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}
    return Whereabouts(os.getpid(), socket.gethostname(), versions)


class Located:
    """What an actor says of itself, and with every answer."""

    def where(self) -> Whereabouts:
        return here()

    def asked(self, method: str, *arguments: Any) -> tuple[Whereabouts, Any]:
        """Who answers, and the answer of another method."""
        return here(), getattr(self, method)(*arguments)


def refuse_other_versions(own: Whereabouts, others: Mapping[str, Whereabouts]) -> None:
    """ClusterError, all of them at once, where a role's process has another version of anything than `own`."""
    wrong = [
        f"{role} on {other.node} has {name} {found}, and {own.node} has {own.versions[name]}"
        for role, other in others.items()
        for name, found in other.versions.items()
        if found != own.versions[name]
    ]
    if wrong:
        raise ClusterError(
            f"versions differ: {'; '.join(wrong)}. Numbers of different versions are not those of one run: expected "
            "the same everywhere, as in one image for all nodes. Nothing was trained with them; install the same "
            "versions, and give the same command."
        )
