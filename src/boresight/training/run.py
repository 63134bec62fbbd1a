"""What a training loop needs of its surroundings: seeded generators, progress, metrics and exact checkpoints.

Nothing random is carried from step to step: each generator is made from the stage's seed, a purpose and the step, and
each epoch's order from the seed and the epoch. A checkpoint therefore holds weights, optimizers and counters alone,
and 2 + 2 steps equal 4 to the bit.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from boresight.errors import CheckpointError
from boresight.runlog.writer import MetricsWriter
from boresight.trackers.feed import NO_TRACKERS, Feed
from boresight.training.checkpoint import Checkpoints
from boresight.training.processes import ALONE, Processes
from boresight.training.progress import ProgressBar
from boresight.training.step import Updater
from boresight.training.usage import Usage

SHOWN = (
    "loss/total",
    "reward/score_normalized",
    "policy/kl_to_reference",
    "reward/accuracy",
    "policy/entropy",
)


class Stateful(Protocol):
    """Anything with weights or counters: modules, updaters, controllers."""

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs to go on bit-equal."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Any:
        """Take over what `state_dict` gave."""
        ...


class Run:
    """One stage being trained in `folder`; `key` identifies config and inputs, so that no other's state is loaded."""

    def __init__(
        self,
        folder: Path,
        *,
        title: str,
        key: str,
        seed: int,
        checkpoint_every: int = 1,
        processes: Processes = ALONE,
        feed: Feed = NO_TRACKERS,
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.processes = processes
        self._title = title
        self._key = key
        self._checkpoint_every = checkpoint_every
        self._checkpoints = Checkpoints(folder, processes)
        self._writer = MetricsWriter(folder)
        self._feed = feed
        self._parts: dict[str, Stateful] = {}
        self._next_step = 0
        self._usage = Usage()
        self._shown: dict[str, float] = {}

    def generator(self, purpose: str, step: int = 0) -> torch.Generator:
        """A generator of its own for each purpose and step."""
        digest = hashlib.sha256(f"{self.seed}/{purpose}/{step}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)

    def resume(self, **parts: Stateful) -> int:
        """Name everything that changes while training; loads it from the last checkpoint, if there is one.

        Returns the step at which the loop goes on. Raises CheckpointError for a checkpoint of another config.
        """
        self._parts = parts
        path = self._checkpoints.latest()
        if path is None:
            self._rewind({})
            return 0
        saved = self._checkpoints.read(path)
        if saved["key"] != self._key:
            raise CheckpointError(
                f"{path}: saved by a run with another config or other inputs (key {saved['key'][:12]}, "
                f"expected {self._key[:12]}). Restore the old settings, or remove the folder to start this stage anew."
            )
        if set(saved["parts"]) != set(parts):
            raise CheckpointError(
                f"{path}: holds {', '.join(sorted(saved['parts']))}; expected {', '.join(sorted(parts))}. "
                "It was written by another version; remove the folder to start this stage anew."
            )
        for name, part in parts.items():
            _check_tensors(path, name, part, saved["parts"][name])
        states = self._checkpoints.fill(path, saved["parts"], lambda: {n: _blank(part) for n, part in parts.items()})
        for name, part in parts.items():
            _restore(part, states[name])
        self._rewind(saved["metrics_position"])
        self._next_step = saved["next_step"]
        return self._next_step

    def steps(self, total: int) -> Iterator[int]:
        """Step numbers from the saved one on, with progress."""
        purpose = "dropout" if self.processes.first else f"dropout of process {self.processes.rank}"
        stream = None if self.processes.first else StringIO()  # one bar for all
        with ProgressBar(self._title, total, done=self._next_step, stream=stream) as bar:
            for step in range(self._next_step, total):
                torch.manual_seed(self.generator(purpose, step).initial_seed())
                self._usage = Usage()
                yield step
                bar.advance(figures=self._shown)

    def log(self, step: int, metrics: Mapping[str, float], split: str = "train") -> None:
        """Write a row of metrics; that of a training step also says what the step has taken of time and memory."""
        if split == "train":
            self._shown = {name: metrics[name] for name in SHOWN if name in metrics}
            metrics = {**metrics, **self._usage.metrics()}
        if self.processes.first:
            self._writer.append(step, metrics, split)
            self._feed.follow(step, split, metrics)

    def log_samples(self, step: int, samples: Sequence[Mapping[str, Any]]) -> None:
        """Write records that show what a step was made of, a line each."""
        if self.processes.first:
            self._writer.append_samples(step, samples)

    @property
    def usage(self) -> Usage:
        """What the step under way takes of time and memory."""
        return self._usage

    def save_if_due(self, step: int) -> None:
        """Write a checkpoint after every `checkpoint_every`-th step; it replaces the last one atomically."""
        if (step + 1) % self._checkpoint_every == 0:
            self._save(step + 1)

    @contextmanager
    def saved_before(self, fault: type[BaseException] | tuple[type[BaseException], ...], step: int) -> Iterator[None]:
        """Where `fault` comes up within, before anything of the step was trained, write a checkpoint from which a later
        run goes on with that step, and let it pass."""
        try:
            yield
        except fault:
            if self._parts:
                self._save(step)
            raise

    def _save(self, next_step: int) -> None:
        self._checkpoints.write(
            {
                "key": self._key,
                "next_step": next_step,
                "metrics_position": self._writer.position(),
                "parts": {name: _state(part) for name, part in self._parts.items()},
            }
        )

    def _rewind(self, position: Mapping[str, int]) -> None:
        if self.processes.first:
            self._writer.rewind(position)
            self._feed.begin(self.folder)


def _state(part: Stateful) -> dict[str, Any]:
    """What changes in a part while it is trained: of a module with frozen parameters the others alone."""
    if not isinstance(part, nn.Module) or all(p.requires_grad for p in part.parameters()):
        return part.state_dict()
    trained = {name for name, p in part.named_parameters(remove_duplicate=False) if p.requires_grad}
    return {name: value for name, value in part.state_dict().items() if name in trained}


def _blank(part: Stateful) -> dict[str, Any]:
    """Tensors of the shapes that a part's state will have, to be filled."""
    return part.blank_state_dict() if isinstance(part, Updater) else _state(part)


def _check_tensors(path: Path, name: str, part: Stateful, saved: Mapping[str, Any]) -> None:
    if isinstance(part, nn.Module) and set(saved) != set(_state(part)):
        raise CheckpointError(
            f"{path}: holds {len(saved)} tensors of the {name}, of which {len(_state(part))} are trained now, and not "
            "the same ones. Restore the old settings, or remove the folder to start this stage anew."
        )


def _restore(part: Stateful, saved: Mapping[str, Any]) -> None:
    if isinstance(part, nn.Module):
        part.load_state_dict(saved, strict=False)  # frozen parameters are not in it, and nothing else is missing
    else:
        part.load_state_dict(saved)
