"""A tiny face, its accounts and its clock."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.web.tiny_face import Book, Clock, book, tiny_face


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts() -> Book:
    return book()


@pytest.fixture
def client(accounts: Book, clock: Clock) -> Iterator[TestClient]:
    with TestClient(tiny_face(accounts, clock)) as client:
        yield client
