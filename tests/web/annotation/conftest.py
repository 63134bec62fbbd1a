"""Stores to test with: SQLite in a file, and a PostgreSQL server of our own where the machine has its programs."""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from boresight.web.annotation.store import Store, open_store, store_url

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
UNPRIVILEGED = "nobody"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a server on loopback, without a database's name. It refuses to run as root. What the tests kill is
    its clients, never the machine, so it need not wait for the disk."""
    if not PROGRAMS or not (PROGRAMS[-1] / "initdb").exists():
        pytest.skip("PostgreSQL's programs are not on this machine (Debian: apt install postgresql)")
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL refuses to run as root, and there is no setpriv to run it as somebody else")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="boresight-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, UNPRIVILEGED)
        program("initdb", "-D", folder / "data", "-U", "boresight", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c shared_buffers=32MB -c max_connections=120 -c fsync=off"
        program("pg_ctl", "-D", folder / "data", "-l", folder / "log", "-o", options, "-w", "start")
        try:
            yield f"postgresql://boresight@127.0.0.1:{port}"
        finally:
            program("pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def program(name: str, *arguments: str | Path) -> None:
    """Run one of PostgreSQL's own programs, as somebody else where we are root."""
    as_nobody = ["setpriv", f"--reuid={UNPRIVILEGED}", "--regid=nogroup", "--clear-groups"]
    command = [*(as_nobody if os.geteuid() == 0 else []), str(PROGRAMS[-1] / name), *map(str, arguments)]
    done = subprocess.run(
        command, cwd="/tmp", stdin=subprocess.DEVNULL, capture_output=name == "initdb", text=True, timeout=60
    )
    assert done.returncode == 0, (name, done.stderr)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store of each kind may be made."""
    if request.param == "sqlite":
        return str(tmp_path / "labels.db")
    return new_database(request.getfixturevalue("postgres"))


@pytest.fixture
def open_at(clock: Clock) -> Iterator[Callable[[str], Store]]:
    """Opens stores that are closed at the end."""
    opened: list[Store] = []

    def open_one(place: str) -> Store:
        opened.append(open_store(place, clock=clock))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(place: str, open_at: Callable[[str], Store]) -> Store:
    return open_at(place)


@pytest.fixture
def sqlite_store(tmp_path: Path, open_at: Callable[[str], Store]) -> Store:
    return open_at(str(tmp_path / "labels.db"))


def new_database(server: str) -> str:
    """The address of an empty place on the server: a schema of its own, which costs a fraction of a database."""
    name = f"t{uuid.uuid4().hex}"
    engine = create_engine(store_url(f"{server}/postgres"))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    engine.dispose()
    return f"{server}/postgres?options=-csearch_path%3D{name}"
