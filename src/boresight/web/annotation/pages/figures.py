"""Heavy figures of projects, computed beside the requests and kept, with the time at which they were true."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from boresight.web.annotation.bias import biases
from boresight.web.annotation.projects import progress
from boresight.web.annotation.quality import quality
from boresight.web.annotation.store import Store

FRESH_SECONDS = 30.0
REST = 5
"""Figures that took long are left alone for so many times as long, so that they never take most of a processor."""


@dataclass(frozen=True, slots=True)
class Figures:
    """`at`: seconds since 1970, when they were read; `took`: seconds of computing."""

    at: float
    took: float
    quality: dict[str, Any]
    bias: dict[str, Any]
    progress: dict[str, Any]


class FigureKeeper:
    """The last figures of each project; asking for them starts a thread where they have grown old."""

    def __init__(self, store: Store, compute: Callable[[Store, int], Figures] | None = None) -> None:
        self._store, self._compute = store, compute or figures_of
        self._kept: dict[int, Figures] = {}
        self._at_work: dict[int, threading.Thread] = {}
        self._lock = threading.Lock()

    def of(self, project_id: int) -> tuple[Figures | None, bool]:
        """What is known, and whether newer figures are being computed."""
        with self._lock:
            kept = self._kept.get(project_id)
            rest = max(FRESH_SECONDS, REST * kept.took) if kept else 0.0
            stale = kept is None or self._store.clock() - kept.at - kept.took >= rest
            if stale and project_id not in self._at_work:
                thread = threading.Thread(target=self._renew, args=(project_id,), daemon=True)
                self._at_work[project_id] = thread
                thread.start()
            return kept, project_id in self._at_work

    def wait(self, project_id: int, seconds: float) -> None:
        """Until the figures that are being computed are there."""
        with self._lock:
            thread = self._at_work.get(project_id)
        if thread is not None:
            thread.join(seconds)

    def _renew(self, project_id: int) -> None:
        try:
            found = self._compute(self._store, project_id)
            with self._lock:
                self._kept[project_id] = found
        except Exception:  # a thread has nobody above it: the log is told, and the next who asks tries again
            logging.getLogger("boresight.web").exception("the figures of project %d could not be computed", project_id)
        finally:
            with self._lock:
                del self._at_work[project_id]


def figures_of(store: Store, project_id: int) -> Figures:
    start = store.clock()
    known = quality(store, project_id, names=True)
    bias = biases(store, project_id, names=True)
    done = progress(store, project_id)
    return Figures(start, store.clock() - start, known, bias, done)
