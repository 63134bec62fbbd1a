"""What a training loop needs of its surroundings: seeded generators, progress, metrics and exact checkpoints.

Nothing random is carried from step to step: each generator is made from the stage's seed, a purpose and the step, and
each epoch's order from the seed and the epoch. A checkpoint therefore holds weights, optimizers and counters alone,
and 2 + 2 steps equal 4 to the bit.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import torch
from torch import nn

from boresight.errors import CheckpointError
from boresight.runlog.writer import MetricsWriter
from boresight.storage import write_atomically
from boresight.training.progress import ProgressBar

SHOWN = (
    "loss/total",
    "reward/score_normalized",
    "policy/kl_to_reference",
    "reward/accuracy",
    "policy/entropy",
)


class Stateful(Protocol):
    """Anything with weights or counters: modules, updaters, controllers."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Any: ...


class Run:
    """One stage being trained in `folder`; `key` identifies config and inputs, so that no other's state is loaded."""

    def __init__(self, folder: Path, *, title: str, key: str, seed: int, checkpoint_every: int = 1) -> None:
        self.folder = folder
        self.seed = seed
        self._title = title
        self._key = key
        self._checkpoint_every = checkpoint_every
        self._checkpoint = folder / "checkpoint.pt"
        self._writer = MetricsWriter(folder)
        self._parts: dict[str, Stateful] = {}
        self._next_step = 0
        self._step_started = 0.0
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
        if not self._checkpoint.exists():
            self._writer.rewind({})
            return 0
        saved = self._load()
        if saved["key"] != self._key:
            raise CheckpointError(
                f"{self._checkpoint}: saved by a run with another config or other inputs (key {saved['key'][:12]}, "
                f"expected {self._key[:12]}). Restore the old settings, or remove the folder to start this stage anew."
            )
        if set(saved["parts"]) != set(parts):
            raise CheckpointError(
                f"{self._checkpoint}: holds {', '.join(sorted(saved['parts']))}; expected {', '.join(sorted(parts))}. "
                "It was written by another version; remove the folder to start this stage anew."
            )
        for name, part in parts.items():
            self._restore(name, part, saved["parts"][name])
        self._writer.rewind(saved["metrics_position"])
        self._next_step = saved["next_step"]
        return self._next_step

    def steps(self, total: int) -> Iterator[int]:
        """Step numbers from the saved one on, with progress."""
        with ProgressBar(self._title, total, done=self._next_step) as bar:
            for step in range(self._next_step, total):
                torch.manual_seed(self.generator("dropout", step).initial_seed())
                self._step_started = time.perf_counter()
                yield step
                bar.advance(figures=self._shown)

    def log(self, step: int, metrics: Mapping[str, float], split: str = "train") -> None:
        """Write a row of metrics; that of a training step also says how long the step has taken."""
        if split == "train":
            self._shown = {name: metrics[name] for name in SHOWN if name in metrics}
            metrics = {**metrics, "time/step_seconds": time.perf_counter() - self._step_started}
        self._writer.append(step, metrics, split)

    def save_if_due(self, step: int) -> None:
        """Write a checkpoint after every `checkpoint_every`-th step; it replaces the last one atomically."""
        if (step + 1) % self._checkpoint_every:
            return
        state = {
            "key": self._key,
            "next_step": step + 1,
            "metrics_position": self._writer.position(),
            "parts": {name: _state(part) for name, part in self._parts.items()},
        }

        def write(path: Path) -> None:
            # Through a stream of our own: given a path, torch.save names no reason where the disk is full.
            with path.open("wb") as stream:
                torch.save(state, stream)

        write_atomically(self._checkpoint, write)

    def _restore(self, name: str, part: Stateful, saved: Mapping[str, Any]) -> None:
        if not isinstance(part, nn.Module):
            part.load_state_dict(saved)
            return
        if set(saved) != set(_state(part)):
            raise CheckpointError(
                f"{self._checkpoint}: holds {len(saved)} tensors of the {name}, of which {len(_state(part))} are "
                "trained now, and not the same ones. Restore the old settings, or remove the folder to start anew."
            )
        part.load_state_dict(saved, strict=False)

    def _load(self) -> dict[str, Any]:
        try:
            saved: dict[str, Any] = torch.load(self._checkpoint, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, UnpicklingError) as error:
            raise CheckpointError(
                f"{self._checkpoint}: cannot be read ({(str(error) or 'it is empty').splitlines()[0]}); it was "
                "damaged after it was written. Remove the folder to start this stage anew."
            ) from error
        return saved


def _state(part: Stateful) -> dict[str, Any]:
    """What changes in a part while it is trained: of a module with frozen parameters the others alone."""
    if not isinstance(part, nn.Module) or all(p.requires_grad for p in part.parameters()):
        return part.state_dict()
    trained = {name for name, p in part.named_parameters(remove_duplicate=False) if p.requires_grad}
    return {name: value for name, value in part.state_dict().items() if name in trained}
