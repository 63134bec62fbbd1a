"""The database of an annotation project: SQLite in one file, or PostgreSQL.

Writing transactions see each other one after the other: SQLite's begin with BEGIN IMMEDIATE, and PostgreSQL's lock the
rows they are about, always a person before a task before an assignment, so that no two wait for each other. What is
acknowledged is on the disk before: SQLite runs with synchronous=FULL.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, create_engine, event, insert, make_url
from sqlalchemy.exc import DatabaseError

from boresight.errors import StorageError
from boresight.web.annotation.migrate import upgrade
from boresight.web.annotation.refused import RefusedError

Clock = Callable[[], float]
BUSY_SECONDS = 30.0
"""How long a transaction waits for another process that writes to the same SQLite file."""
SQLITE, POSTGRESQL = "sqlite", "postgresql"


def one_row(connection: Connection, query: Select[Any]) -> dict[str, Any] | None:
    """The only row of a query, or None."""
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else dict(row)


def insert_row(connection: Connection, table: Table, values: Mapping[str, Any]) -> int:
    """Insert a row; the id that it got."""
    made = connection.execute(insert(table).values(**values)).inserted_primary_key
    assert made is not None
    return int(made[0])


class Store:
    """An open database. It may be shared by threads; `clock` gives seconds since 1970."""

    def __init__(self, engine: Engine, clock: Clock = time.time) -> None:
        self.engine = engine
        self.clock = clock
        # SQLite has one writer at a time. Threads of one process queue here, in turn, and not in its busy handler,
        # which sleeps and may let others pass.
        self._turn = threading.Lock() if engine.dialect.name == SQLITE else nullcontext()

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed at its end, or leaves nothing behind."""
        with self._turn, self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A view of one moment, which waits for nobody."""
        with self.engine.connect().execution_options(reading=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def open_store(place: str | Path, *, clock: Clock = time.time, create: bool = True) -> Store:
    """The store at a path (SQLite) or an address `postgresql://user@host/name`, with its tables brought up to date.

    Raises RefusedError where `create` is False and there is none, StorageError where it cannot be opened.
    """
    url = make_url(store_url(place))
    path = Path(url.database) if url.get_backend_name() == SQLITE and url.database else None
    if path is not None and not path.exists():
        if not create:
            raise RefusedError(
                "not_found",
                f"{path}: there is no such file; expected a store made by `label import`."
                " Import tasks first, or correct the path.",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # it will hold password hashes
    engine = _engine(url)
    try:
        upgrade(engine)
    except DatabaseError as error:
        engine.dispose()
        reason = str(error.orig).strip().splitlines()[0]
        raise StorageError(
            f"{url.render_as_string()}: cannot be opened ({reason}). Check the address, the rights and whether the "
            "server runs."
        ) from error
    except Exception:
        engine.dispose()
        raise
    return Store(engine, clock)


def store_url(place: str | Path) -> str:
    """The address for SQLAlchemy: of a path that of SQLite; of PostgreSQL with the driver psycopg."""
    text = str(place)
    if "://" not in text:
        return f"sqlite:///{text}"
    scheme, rest = text.split("://", 1)
    schemes = {"postgres": "postgresql+psycopg", POSTGRESQL: "postgresql+psycopg", SQLITE: SQLITE}
    known = {*schemes.values(), *schemes}
    if scheme not in known:
        raise RefusedError(
            "bad_request",
            f"{scheme}://…: no database of this kind; expected a path, or postgresql://user@host/name."
            " Correct the address.",
        )
    return f"{schemes.get(scheme, scheme)}://{rest}"


def _engine(url: Any) -> Engine:
    if url.get_backend_name() != SQLITE:
        try:
            return create_engine(url, pool_size=10, max_overflow=40, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise StorageError("PostgreSQL needs the package psycopg: pip install 'boresight[postgres]'.") from error
    engine = create_engine(url, pool_size=10, max_overflow=90, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says, not where the driver thinks
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
