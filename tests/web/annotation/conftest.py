"""Stores to test with: SQLite in a file, and a PostgreSQL server of our own where the machine has its programs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boresight.web.annotation.store import Store, open_store
from tests.web.postgres import new_database, postgres_server, why_no_postgres


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
    """The address of a server on loopback, without a database's name."""
    if (lacking := why_no_postgres()) is not None:
        pytest.skip(lacking)
    with postgres_server() as server:
        yield server


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
