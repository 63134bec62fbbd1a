"""Backup and restore: SQLite's own online copy, or a JSONL archive of all rows that either kind of database takes back.

Both hold password hashes and comments, so that the files can be read by their owner alone.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select, text

from boresight.data.jsonl import read_objects
from boresight.data.written_rows import write_rows
from boresight.storage import write_atomically
from boresight.web.annotation.migrate import newest_revision
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.schema import metadata
from boresight.web.annotation.store import POSTGRESQL, SQLITE, Store, open_store

SQLITE_HEADER = b"SQLite format 3\0"
FORMAT = "boresight labels"
BATCH = 500
OWNER_ONLY = 0o600


def backup(store: Store, out: Path) -> str:
    """Copy a store while it is in use, as of one moment; "sqlite" or "jsonl". A name that ends in .jsonl or .jsonl.gz
    asks for the archive, which PostgreSQL always gets."""
    if out.exists():
        raise RefusedError("bad_request", f"{out}: there is a file of this name already. Choose another.")
    archive = out.name.endswith((".jsonl", ".jsonl.gz"))
    if not archive and store.dialect != SQLITE:
        raise RefusedError(
            "bad_request", f"{out}: PostgreSQL is backed up to a name ending in .jsonl or .jsonl.gz. Rename it."
        )
    if archive:
        write_rows(out, _rows(store))
    else:
        write_atomically(out, lambda temporary: _copy_sqlite(store, temporary))
    os.chmod(out, OWNER_ONLY)
    return "jsonl" if archive else SQLITE


def restore(source: Path, place: str | Path) -> dict[str, int]:
    """Make a store at `place` from a backup; rows by table. Raises RefusedError, and changes nothing, where there is
    something already or the file is no backup."""
    if not source.is_file():
        raise RefusedError(
            "not_found", f"{source}: there is no such file; expected what `label backup` wrote. Give that file."
        )
    if _is_sqlite(source):
        return _restore_sqlite(source, place)
    rows = read_objects(source)
    _, head = next(rows, (0, {}))
    if head.get("format") != FORMAT:
        raise RefusedError(
            "bad_request", f"{source}: no backup of labels; expected what `label backup` wrote. Give that file."
        )
    store = open_store(place)
    try:
        if head.get("revision") != newest_revision():
            raise RefusedError(
                "bad_request",
                f"{source}: is of revision {head.get('revision')}, not of this version's."
                " Restore it with the version that wrote it.",
            )
        with store.write() as connection:
            _check_empty(connection, place)
            counts = _insert(connection, (row for _, row in rows))
            if counts != head["rows"]:
                raise RefusedError(
                    "bad_request",
                    f"{source}: holds {counts}, but was written with {head['rows']}."
                    " Take another backup: this one was cut off or changed.",
                )
            if store.dialect == POSTGRESQL:
                _set_sequences(connection)
            return counts
    finally:
        store.close()


def _rows(store: Store) -> Iterator[dict[str, Any]]:
    """The head, then every row of every table, those that others refer to first."""
    with store.engine.connect().execution_options(reading=True) as connection:
        if store.dialect == POSTGRESQL:  # all tables as of one moment
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            counts = {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in metadata.sorted_tables
            }
            yield {"format": FORMAT, "revision": newest_revision(), "rows": counts}
            for table in metadata.sorted_tables:
                for row in connection.execute(select(table).order_by(*table.primary_key)).mappings():
                    yield {"table": table.name, "row": dict(row)}


def _insert(connection: Connection, rows: Iterator[dict[str, Any]]) -> dict[str, int]:
    counts = {table.name: 0 for table in metadata.sorted_tables}
    waiting: list[dict[str, Any]] = []
    current = ""

    def flush() -> None:
        if waiting:
            connection.execute(insert(metadata.tables[current]), list(waiting))
            waiting.clear()

    for row in rows:
        if row["table"] != current or len(waiting) == BATCH:
            flush()
        current = row["table"]
        waiting.append(row["row"])
        counts[current] += 1
    flush()
    return counts


def _check_empty(connection: Connection, place: str | Path) -> None:
    for table in metadata.sorted_tables:
        if connection.execute(select(table).limit(1)).first() is not None:
            raise RefusedError("bad_request", f"{place}: holds {table.name} already. Restore into a new store.")


def _set_sequences(connection: Connection) -> None:
    """Rows came with their ids, of which PostgreSQL's counters know nothing."""
    for table in metadata.sorted_tables:
        if "id" in table.c:
            highest = f"(SELECT max(id) FROM {table.name})"
            sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
            connection.execute(text(f"SELECT setval({sequence}, {highest}) WHERE {highest} IS NOT NULL"))


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(SQLITE_HEADER)) == SQLITE_HEADER


def _restore_sqlite(source: Path, place: str | Path) -> dict[str, int]:
    """The copy is a store itself; into PostgreSQL it goes as an archive does."""
    if "://" in str(place) and not str(place).startswith("sqlite"):
        raise RefusedError(
            "bad_request",
            f"{source}: a SQLite copy; PostgreSQL takes a backup that ends in .jsonl."
            " Restore it into SQLite, or back up anew.",
        )
    target = Path(str(place).removeprefix("sqlite:///"))
    if target.exists():
        raise RefusedError("bad_request", f"{target}: is there already. Restore into a new store.")

    def write(temporary: Path) -> None:
        with closing(sqlite3.connect(source)) as copied, closing(sqlite3.connect(temporary)) as made:
            copied.backup(made)

    write_atomically(target, write)
    os.chmod(target, OWNER_ONLY)
    store = open_store(target, create=False)
    try:
        with store.read() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in metadata.sorted_tables
            }
    finally:
        store.close()


def _copy_sqlite(store: Store, out: Path) -> None:
    """SQLite's online backup, which is of one moment although others write."""
    with closing(store.engine.raw_connection()) as pooled, closing(sqlite3.connect(out)) as made:
        driver: Any = pooled.driver_connection
        driver.backup(made)
