"""trackio: a local SQLite file, in TRACKIO_DIR or where `trackio show` looks by default."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout

import trackio
from trackio.sqlite_storage import SQLiteStorage

from boresight.trackers.tracker import PROJECT, RunCard, last_of


class TrackioRuns:
    prefix = "train/"

    def open(self, card: RunCard) -> None:
        self._project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        self._name = f"{card.name}/{card.id[:8]}"
        # Names are what trackio goes on by, and the words that it prints are no result.
        with redirect_stdout(sys.stderr):
            self._run = trackio.init(
                project=self._project,
                name=self._name,
                group=card.run,
                config=dict(card.settings),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def last_steps(self) -> dict[str, int]:
        return last_of(self._stored())

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, *, finished: bool) -> None:
        with redirect_stdout(sys.stderr):
            trackio.finish()  # and not the run's own: trackio would end it once more when the process ends

    def _stored(self) -> Iterator[tuple[str, int]]:
        for row in SQLiteStorage.get_logs(self._project, self._name):
            for name in row:
                yield name, int(row["step"])
