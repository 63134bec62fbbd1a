"""Progress of long work on stderr: a bar where a person watches, plain lines where a log is kept."""

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_BARS = 0.3
"""In a notebook, where every change of the line is a message."""
BAR = 28
"""Characters of a bar."""


class ProgressBar:
    """Counts `total` units of one piece of work; `advance` may carry figures that are worth watching."""

    def __init__(
        self,
        title: str,
        total: int,
        *,
        done: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title, self._total, self._done, self._clock = title, total, done, clock
        self._stream = stream if stream is not None else sys.stderr
        self._last_line = clock()
        self._bar: Progress | None = None
        self._drawn_last = 0
        self._notebook = type(self._stream).__module__.startswith("ipykernel")
        if self._stream.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=BAR),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}", style="dim"),
                console=Console(file=self._stream),
            )
            self._task = self._bar.add_task(title, total=total, completed=done, figures="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int = 1, figures: Mapping[str, float] | None = None) -> None:
        """So many more are done. On a terminal the bar moves; elsewhere a line is written once in a while, and at the
        end."""
        self._done += count
        shown = "  ".join(f"{_short(name)} {value:.3g}" for name, value in (figures or {}).items())
        if self._bar is not None:
            if figures:
                self._bar.update(self._task, completed=self._done, figures=shown)
            else:
                self._bar.update(self._task, completed=self._done)
            return
        between = SECONDS_BETWEEN_BARS if self._notebook else SECONDS_BETWEEN_LINES
        if self._clock() - self._last_line >= between or self._done == self._total:
            self._last_line = self._clock()
            counted = f"{self._done}/{self._total}  {shown}".rstrip()
            self._stream.write(self._drawn(counted) if self._notebook else f"  {self._title}: {counted}\n")
            self._stream.flush()

    def _drawn(self, counted: str) -> str:
        """A bar over the one before: a notebook takes a carriage return as a terminal does."""
        full = round(BAR * self._done / max(self._total, 1))
        end = "\n" if self._done == self._total else ""
        line = f"  {self._title}: {'━' * full}{'╌' * (BAR - full)} {counted}"
        covered, self._drawn_last = line.ljust(self._drawn_last), len(line)  # of a longer one nothing stays
        return f"\r{covered}{end}"


def _short(metric: str) -> str:
    """loss/total is the loss; of other names the group goes."""
    group, _, name = metric.partition("/")
    return group if name == "total" else name
