"""The records of files as the lint takes them: odd rows stay in, because it is here that they are to be seen."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from boresight.data.pair_stream import stream_pairs
from boresight.data.readers import read_demonstrations, read_pairs, read_prompts
from boresight.data.sources import open_source
from boresight.errors import DataError
from boresight.records import Demonstration, PreferencePair, Prompt

Columns = Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class PairsOfFile:
    """The pairs of a file, read anew each time they are gone through, and never held together."""

    path: Path
    columns: Columns = None

    def __iter__(self) -> Iterator[PreferencePair]:
        for _, row in stream_pairs(self.path, columns=self.columns):
            yield row.pair


def read_splits(
    paths: Sequence[Path], columns: Columns = None
) -> Mapping[str, Iterable[PreferencePair]] | Mapping[str, Iterable[Demonstration]]:
    """The records of each file under its name (its path where two files have one name). Raises DataError where some
    files hold pairs and others do not."""
    names = [path.name for path in paths]
    keys = [path.name if names.count(path.name) == 1 else str(path) for path in paths]
    kinds = [open_source(path, columns=columns).kind == "pairs" for path in paths]
    if all(kinds):
        return {key: PairsOfFile(path, columns) for key, path in zip(keys, paths, strict=True)}
    if any(kinds):
        raise DataError(
            f"{paths[kinds.index(True)]} holds preference pairs, {paths[kinds.index(False)]} does not; give files of "
            "one kind, such as train and test."
        )
    return {key: read_demonstrations(path).demonstrations for key, path in zip(keys, paths, strict=True)}


def read_all_pairs(path: Path, columns: Columns = None) -> list[PreferencePair]:
    """Every pair of a file, identical, empty and differing ones among them."""
    return read_pairs(path, columns=columns, on_identical="keep", on_empty="keep", on_context_differs="keep").pairs


def read_all_prompts(paths: Sequence[Path]) -> list[Prompt]:
    """The prompts of several files of any form, in order."""
    return [prompt for path in paths for prompt in read_prompts(path).prompts]
