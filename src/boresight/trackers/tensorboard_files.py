"""TensorBoard: event files in `trackers/tensorboard/STAGE` of the run's folder."""

import time
from collections.abc import Iterator, Mapping

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from boresight.trackers.tracker import RunCard, last_of

FLUSH_SECONDS = 10


class TensorBoardFiles:
    prefix = "train/"

    def open(self, card: RunCard) -> None:
        self._folder = card.folder / "tensorboard" / card.stage / card.id
        known = self._folder.is_dir()
        self._writer = EventFileWriter(str(self._folder), flush_secs=FLUSH_SECONDS)
        if not known:
            self._add(Event(wall_time=time.time(), summary=hparams_pb(dict(card.settings))))

    def last_steps(self) -> dict[str, int]:
        return last_of(self._stored())

    def log(self, step: int, values: Mapping[str, float]) -> None:
        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._add(Event(wall_time=time.time(), step=step, summary=Summary(value=points)))

    def close(self, *, finished: bool) -> None:
        self._writer.close()

    def _add(self, event: Event) -> None:
        self._writer.add_event(event)

    def _stored(self) -> Iterator[tuple[str, int]]:
        self._writer.flush()
        for file in sorted(self._folder.glob("*.tfevents.*")):
            for event in EventFileLoader(str(file)).Load():
                for value in event.summary.value:
                    yield value.tag, event.step
