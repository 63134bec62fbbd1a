"""All that changes while training, in files that appear whole or not at all.

One process writes one file, `checkpoint.pt`. Several write a folder, `checkpoint/STEP`, each its part of the tensors,
by torch.distributed.checkpoint (DCP). Either is read by any number of processes, which take the parts that are theirs.
"""

import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor, distribute_tensor

from boresight.errors import CheckpointError
from boresight.storage import storage_faults, write_atomically
from boresight.training.processes import Processes

FILE = "checkpoint.pt"
FOLDER = "checkpoint"
REST = "rest.pt"
State = dict[str, Any]


class Checkpoints:
    """The last checkpoint of a stage in `folder`. A state is a nesting of dictionaries; its tensors lie in `parts`."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self._file = folder / FILE
        self._folder = folder / FOLDER
        self._processes = processes

    def latest(self) -> Path | None:
        """The last checkpoint; two are there only where a kill came between writing one and removing the other."""
        found = {path: int(path.name) for path in self._folder.glob("[0-9]*")}
        if self._file.exists():
            found[self._file] = int(_read(self._file, self._file)["next_step"]) if found else 0
        latest = max(found, key=lambda path: found[path]) if found else None
        return self._processes.agreed(latest)

    def read(self, path: Path) -> State:
        """A checkpoint, with None in place of tensors where they lie apart from the rest; see `fill`.

        Raises CheckpointError where it cannot be read.
        """
        return _read(path, path if path == self._file else path / REST)

    def fill(self, path: Path, parts: State, blank: Callable[[], State]) -> State:
        """The parts of a checkpoint with their tensors, laid out over the processes as those of `blank()` are. Raises
        CheckpointError for parts that this stage does not train."""
        if path == self._file:
            return parts if self._processes.count == 1 else _laid_out(parts, blank())
        tensors = _tensors(blank())
        kept = set(FileSystemReader(path).read_metadata().state_dict_metadata)
        if not kept <= set(tensors):
            raise CheckpointError(
                f"{path}: holds {', '.join(sorted(kept - set(tensors))[:3])}, which this stage does not train. Restore "
                "the old settings, or remove the folder to start this stage anew."
            )
        wanted = {name: tensor for name, tensor in tensors.items() if name in kept}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one process is no mistake
            load(wanted, checkpoint_id=path, no_dist=self._processes.count == 1)
        return _filled(parts, wanted)

    def write(self, state: State) -> None:
        """Replace the last checkpoint."""
        if self._processes.count == 1:
            write_atomically(self._file, lambda path: _write(path, state))
            shutil.rmtree(self._folder, ignore_errors=True)
        else:
            self._write_folder(state)

    def _write_folder(self, state: State) -> None:
        place = self._folder / str(state["next_step"])
        if self._processes.agreed(place.exists()):  # a step that ended in a fault has trained nothing since
            return
        temporary = self._folder / f".{place.name}.tmp"
        with storage_faults(place):
            if self._processes.first:
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir(parents=True)
            self._processes.agreed(None)
            save(_tensors(state["parts"]), checkpoint_id=temporary)  # the first is the last to be done
            if self._processes.first:
                _write(temporary / REST, _without_tensors(state))
                temporary.replace(place)
                self._file.unlink(missing_ok=True)
                for other in self._folder.iterdir():
                    if other != place:
                        shutil.rmtree(other)


def _read(named: Path, file: Path) -> State:
    try:
        saved: State = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, UnpicklingError, FileNotFoundError) as error:
        raise CheckpointError(
            f"{named}: cannot be read ({(str(error) or 'it is empty').splitlines()[0]}); it was "
            "damaged after it was written. Remove the folder to start this stage anew."
        ) from error
    return saved


def _write(path: Path, state: State) -> None:
    # Through a stream of our own: given a path, torch.save names no reason where the disk is full.
    with path.open("wb") as stream:
        torch.save(state, stream)


def _tensors(state: Mapping[Any, Any], prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a nesting by their paths."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if isinstance(value, Tensor):
            found[f"{prefix}{key}"] = value
        elif isinstance(value, Mapping):
            found |= _tensors(value, f"{prefix}{key}/")
    return found


def _without_tensors(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_tensors(inner) for key, inner in value.items()}
    return None if isinstance(value, Tensor) else value


def _filled(state: Mapping[Any, Any], tensors: Mapping[str, Tensor], prefix: str = "") -> State:
    return {
        key: _filled(value, tensors, f"{prefix}{key}/")
        if isinstance(value, Mapping)
        else tensors.get(f"{prefix}{key}", value)
        for key, value in state.items()
    }


def _laid_out(saved: Any, like: Any) -> Any:
    """Whole tensors cut into this process's parts where those of `like` are."""
    if isinstance(saved, Mapping):
        return {key: _laid_out(value, like.get(key, value)) for key, value in saved.items()}
    if isinstance(saved, Tensor) and isinstance(like, DTensor):
        return distribute_tensor(saved.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
    return saved
