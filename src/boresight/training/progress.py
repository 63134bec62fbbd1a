"""Progress of long work on stderr: a bar where a person watches, plain lines where a log is kept."""

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 15.0


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
        if self._stream.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
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
        self._done += count
        shown = "  ".join(f"{name.split('/')[-1]} {value:.3g}" for name, value in (figures or {}).items())
        if self._bar is not None:
            if figures:
                self._bar.update(self._task, completed=self._done, figures=shown)
            else:
                self._bar.update(self._task, completed=self._done)
        elif self._clock() - self._last_line >= SECONDS_BETWEEN_LINES or self._done == self._total:
            self._last_line = self._clock()
            self._stream.write(f"  {self._title}: {self._done}/{self._total}  {shown}".rstrip() + "\n")
            self._stream.flush()
