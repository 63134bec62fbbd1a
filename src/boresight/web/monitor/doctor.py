"""The doctor's visits to a stage under way: a diagnosis that is never much older than the log, nor costs much."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from boresight.diagnosis.diagnose import diagnose
from boresight.diagnosis.readers.folders import read_stage
from boresight.diagnosis.words import as_object
from boresight.errors import BoresightError
from boresight.runlog.writer import METRICS_FILE, SAMPLES_FILE

SECONDS_BETWEEN = 3.0

SHARE_OF_TIME = 0.1
"""Of one processor, that looking again and again at a long log may take at most."""

Report = Mapping[str, Any]
"""What `diagnose --json` prints, and with each finding `since_step`: the step that the log had reached when this
monitor, or the guard of the run itself, saw it first."""


class Doctor:
    """Looks at one stage when its log has changed, and not more often than its cost allows."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._report: Report | None = None
        self._seen: tuple[int, int] | None = None
        self._next_visit = 0.0
        self._since: dict[str, int] = {}

    def report(self, folder: Path, kind: str, step: int | None, told: Mapping[str, Any]) -> Report | None:
        """The newest diagnosis; None where there is nothing to diagnose yet.

        `told` is the guard's record (findings.json). While another request looks at the log, the last one is given.
        """
        if not self._lock.acquire(blocking=self._report is None):
            return self._report
        try:
            seen = _sizes(folder)
            if seen != self._seen and self._clock() >= self._next_visit:
                started = self._clock()
                self._report = self._look(folder, kind, step, told)
                took = self._clock() - started
                self._seen = seen if _sizes(folder) == seen else None  # it was moved, or has grown: not all was seen
                self._next_visit = self._clock() + max(SECONDS_BETWEEN, took / SHARE_OF_TIME)
            return self._report
        finally:
            self._lock.release()

    def _look(self, folder: Path, kind: str, step: int | None, told: Mapping[str, Any]) -> Report | None:
        try:
            log = read_stage(folder, kind)
            report = as_object(log, diagnose(log.run))
        except (BoresightError, OSError):  # empty, or moved to its place at this moment: the next visit sees it
            return None
        ids = {finding["id"] for finding in report["findings"]}
        self._since = {name: since for name, since in self._since.items() if name in ids}  # gone, it may come anew
        for finding in report["findings"]:
            record = told.get(finding["id"])
            first = record.get("step") if isinstance(record, dict) else step
            finding["since_step"] = self._since.setdefault(finding["id"], first if isinstance(first, int) else 0)
        return report


def _sizes(folder: Path) -> tuple[int, int]:
    files = (folder / METRICS_FILE, folder / SAMPLES_FILE)
    sizes = [file.stat().st_size if file.exists() else 0 for file in files]
    return sizes[0], sizes[1]
