"""Stages that are to be built anew though they are built: each of them once, however often the run is interrupted."""

import shutil
from collections.abc import Set
from pathlib import Path

from boresight.pipeline.artifacts import RunFolder
from boresight.storage import read_json, write_json


class Anew:
    """The `names` that are still to be built anew; `file` keeps which of them were begun, and which are done."""

    def __init__(self, names: Set[str], file: Path | None) -> None:
        self._file = file
        known = read_json(file) if file is not None and file.exists() else {"begun": [], "done": []}
        self._begun: set[str] = set(known["begun"])
        self._done: set[str] = set(known["done"])
        self._names = names

    def __contains__(self, name: str) -> bool:
        return name in self._names and name not in self._done

    def begin(self, name: str, runs: RunFolder) -> None:
        """Remove what an earlier run left half finished of a stage; what this one left is gone on with."""
        if name in self and name not in self._begun:
            shutil.rmtree(runs.partial(name), ignore_errors=True)
            self._begun.add(name)
            self._keep()

    def done(self, name: str) -> None:
        """Remember a stage that is built: it is not begun again by a process that starts anew."""
        if name in self:
            self._done.add(name)
            self._keep()

    def _keep(self) -> None:
        if self._file is not None:
            write_json(self._file, {"begun": sorted(self._begun), "done": sorted(self._done)})
