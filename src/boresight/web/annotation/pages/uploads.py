"""Tasks that come over HTTP, read as `label import` reads files; what is exported goes out as a file."""

import io
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from fastapi import Query
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from boresight.data.tables import Row
from boresight.data.written_forms import PAIR_TARGETS
from boresight.errors import DataError
from boresight.storage import hash_text
from boresight.web.annotation.archive import backup
from boresight.web.annotation.export import export_demonstrations, export_pairs, export_ratings, export_votes
from boresight.web.annotation.projects import NewTask, project_in
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.store import SQLITE, Store
from boresight.web.annotation.task_files import read_tasks

ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".json.gz", ".csv.gz", ".tsv.gz")
What = Literal["pairs", "demonstrations", "votes", "ratings"]
Container = Literal["jsonl", "json", "parquet", "csv"]
FORMS = tuple(PAIR_TARGETS)


class Export(BaseModel):
    """What is asked of an export, in the query of its address."""

    what: What = "pairs"
    container: Container = "jsonl"
    to: Annotated[str, Field(max_length=40)] = "boresight"
    names: bool = False


Wanted = Annotated[Export, Query()]


def tasks_of_upload(stream: BinaryIO, name: str, *, pairs_only: bool = False, seed: int = 0) -> list[NewTask]:
    """The tasks of a file that was sent under a name, of which only the letters and the known ending are used.

    Raises DataError, naming the line, for what makes no task.
    """
    ending = max((one for one in ENDINGS if name.lower().endswith(one)), key=len, default=None)
    if ending is None:
        raise RefusedError("bad_request", f"{name[-40:]!r}: expected a file that ends in {', '.join(ENDINGS)}.")
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(name).name[: -len(ending)])[:60] or "tasks"
    with tempfile.TemporaryDirectory(prefix="boresight-upload-") as folder:
        path = Path(folder) / f"{stem}{ending}"
        with path.open("wb") as copy:
            shutil.copyfileobj(stream, copy)
        try:
            return read_tasks(path, pairs_only=pairs_only, seed=seed)
        except DataError as error:
            raise DataError(str(error).replace(f"{folder}/", "")) from error


def tasks_of_rows(rows: Sequence[Row], *, seed: int = 0) -> list[NewTask]:
    """The tasks of rows that a program sent. Where a row gives no id, its content names it: every request counts its
    rows from one, so that by their lines those of the next would pass for these.

    Raises DataError, naming the row as a line of `api.jsonl`, for what makes no task.
    """
    lines = "".join(json.dumps(_named(row)) + "\n" for row in rows)
    return tasks_of_upload(io.BytesIO(lines.encode()), "api.jsonl", seed=seed)


def _named(row: Row) -> Row:
    if row.get("id") not in (None, ""):
        return row
    return {**row, "id": f"api:{hash_text(json.dumps(row, sort_keys=True))[:16]}"}


def exported_file(store: Store, project_id: int, wanted: Export, *, by: int) -> FileResponse:
    """An export as a download. Raises DataError where there is nothing to write, RefusedError for no such project."""
    with store.read() as connection:
        project_in(connection, project_id)

    def write(path: Path) -> None:
        if wanted.what == "pairs":
            export_pairs(store, project_id, path, to=wanted.to, names=wanted.names, by=by)
        elif wanted.what == "demonstrations":
            export_demonstrations(store, project_id, path, names=wanted.names, by=by)
        elif wanted.what == "votes":
            export_votes(store, project_id, path, names=wanted.names, by=by)
        else:
            export_ratings(store, project_id, path, by=by)

    return _download(write, f"{wanted.what}.{wanted.container}")


def backup_file(store: Store) -> FileResponse:
    """A copy of the whole store as of one moment."""
    return _download(
        lambda path: _write_backup(store, path), "labels.db" if store.dialect == SQLITE else "labels.jsonl.gz"
    )


def _write_backup(store: Store, path: Path) -> None:
    backup(store, path)


def _download(write: Callable[[Path], None], name: str) -> FileResponse:
    """What is written, sent and then deleted."""
    folder = tempfile.mkdtemp(prefix="boresight-download-")
    path = Path(folder) / name
    try:
        write(path)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, DataError):
            raise DataError(str(error).replace(f"{folder}/", "")) from error
        raise
    return FileResponse(path, filename=name, background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True))
