"""Weights & Biases. WANDB_MODE=offline keeps the run in the run's folder, for `wandb sync`; a stage that is resumed
there writes a second folder of the same run id, which `wandb sync` joins."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import wandb
from wandb.proto.wandb_internal_pb2 import Record

from boresight.trackers.log_records import log_records
from boresight.trackers.tracker import PROJECT, RunCard, last_of

FLUSH_SECONDS = 5.0
MAGIC = 7
"""Bytes at the head of a `.wandb` file, before its first record."""


class WandbRuns:
    prefix = "train/"

    def open(self, card: RunCard) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # what fails here is told here
        self._id, self._folder = card.id, Path(os.environ.get("WANDB_DIR", card.folder))
        self._folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=card.id,
            name=card.name,
            group=card.run,
            job_type=card.kind,
            dir=str(self._folder),
            config=dict(card.settings),
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                x_disable_stats=True,
                disable_git=True,
                disable_code=True,
                save_code=False,
                x_transaction_log_flush_interval=FLUSH_SECONDS,
            ),
        )

    def last_steps(self) -> dict[str, int] | None:
        """Of an offline run what its files hold; a run at a server passes over steps that it has."""
        return last_of(self._stored()) if self._run.offline else None

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, *, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)

    def _stored(self) -> Iterator[tuple[str, int]]:
        for file in sorted(self._folder.glob(f"wandb/offline-run-*-{self._id}/*.wandb")):
            for data in log_records(file.read_bytes(), MAGIC):
                history = Record.FromString(data).history
                for item in history.item:
                    yield item.key or "/".join(item.nested_key), history.step.num
