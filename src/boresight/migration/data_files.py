"""Where a foreign config's data lie: a file that is there, or a data set of a hub, which has to be fetched first."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

WHOLE_FILE = "a file is read whole here, whatever part of it is named; cut the file itself: `boresight data split`"
ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gz", ".arrow")


class DataFile(NamedTuple):
    """`place` is as it stands in the pipeline file; `fetch` is how it comes there, where it is not there yet."""

    place: str
    fetch: str | None
    rows: int | None

    @property
    def is_whole(self) -> bool:
        """It is a file, which is read from its first row to its last: what a hub would be asked for has no place."""
        return self.fetch is None or "load_dataset" not in self.fetch


def data_file(
    text: str,
    folder: Path,
    *,
    split: str = "train",
    subset: str | None = None,
    member: str | None = None,
    beside: Path | None = None,
) -> DataFile:
    """A file or folder, or the name of a data set on a hub, for a pipeline file in `folder`.

    `member` is the file of that data set which is meant. Relative paths start from `beside` or from where the command
    was given, as they did for the other tool.
    """
    found = (beside or Path.cwd()) / Path(text).expanduser()
    if found.exists():
        return DataFile(os.path.relpath(found.resolve(), folder.resolve()), None, count_rows(found))
    place = f"data/{Path(text).name}"
    if text.endswith(ENDINGS):
        return DataFile(place, f"copy {text} to {folder / place}", None)
    place = f"data/{Path(member).name.partition('.')[0]}.jsonl" if member else f"{place}.jsonl"
    chosen = f'"{text}", "{subset}"' if subset else f'"{text}"'
    chosen += f', data_files="{member}"' if member else ""
    call = f'load_dataset({chosen}, split="{split}").to_json("{folder / place}")'
    return DataFile(place, f"python -c 'from datasets import load_dataset; {call}'", None)


def parts(path: Any, files: Any) -> list[tuple[str, str | None]]:
    """(text, member) of each file that an entry with `path` and `data_files` names; empty where it names none.

    Files are those of a data set on a hub where `path` is one, owner/name, and otherwise lie where they say.
    """
    listed = [files] if isinstance(files, str) else files if isinstance(files, list) else []
    names = [name for name in listed if isinstance(name, str)]
    if not isinstance(path, str):
        return [(name, None) for name in names]
    is_of_hub = path.count("/") == 1 and path[0] not in "/.~" and not Path(path).exists()
    return [(path, name) if is_of_hub else (name, None) for name in names] or [(path, None)]


def distinct(files: list[DataFile], assumed: list[str]) -> list[DataFile]:
    """Each data set once, and each in a place of its own: splits and owners of one name are numbered.

    Data listed twice are told in `assumed`.
    """
    once = list(dict.fromkeys(files))
    for file in once:
        if files.count(file) > 1:
            assumed.append(f"{file.place} is listed {files.count(file)} times there; here each row is taken once")
    found: list[DataFile] = []
    for file in once:
        place, number = Path(file.place), 2
        while str(place) in {other.place for other in found}:
            place, number = Path(file.place).with_stem(f"{Path(file.place).stem}-{number}"), number + 1
        before, _, after = (file.fetch or "").rpartition(file.place)
        fetch = f"{before}{place}{after}" if file.fetch else None
        found.append(file._replace(place=str(place), fetch=fetch))
    return found


def count_rows(path: Path) -> int | None:
    """Records of a JSON or JSON Lines file; None where that would take a reader."""
    if path.suffix == ".jsonl":
        with path.open("rb") as stream:
            return sum(1 for line in stream if line.strip())
    if path.suffix == ".json":
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return None
        return len(value) if isinstance(value, list) else None
    return None


def all_rows(files: list[DataFile]) -> int | None:
    """Rows of all files together; None where those of one are not known."""
    counts = [file.rows for file in files]
    return None if None in counts else sum(count or 0 for count in counts)


def model_place(text: str, folder: Path) -> str:
    """`model.path`: a folder that is there, from the pipeline's folder on, or a name as it is."""
    found = Path(text).expanduser()
    return os.path.relpath(found.resolve(), folder.resolve()) if found.is_dir() else text
