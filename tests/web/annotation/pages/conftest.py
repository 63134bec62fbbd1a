"""A team at work: a store with a project, people of each role, and a client for each of them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from boresight.web.annotation.pages.app import build_annotation
from boresight.web.annotation.people import add_person, person_named, set_password_hash
from boresight.web.annotation.projects import Project, add_tasks, make_project
from boresight.web.annotation.settings import Settings
from boresight.web.annotation.store import Store, open_store
from tests.web.annotation.made import task
from tests.web.tiny_face import PASSWORD, PASSWORDS

ROLES = {"ada": "admin", "rey": "reviewer", "ann": "annotator", "ben": "annotator"}
PAGE = {"Accept": "text/html"}


@dataclass
class Team:
    store: Store
    app: FastAPI
    project: Project

    def person(self, name: str) -> int:
        found = person_named(self.store, name)
        assert found is not None
        return found.id

    def client(self, name: str | None = None) -> "Browser":
        client = Browser(self.app, base_url="http://127.0.0.1", follow_redirects=False)
        if name:
            client.log_in(name)
        return client


class Browser(TestClient):
    """A client that sends the token of its session, as our pages do."""

    csrf = ""

    def log_in(self, name: str, password: str = PASSWORD) -> Any:
        self.csrf = token_in(self.get("/login").text)
        answer = self.post("/login", data={"name": name, "password": password, "csrf_token": self.csrf})
        if answer.status_code == 303:
            self.csrf = token_in(self.get("/account").text)
        return answer

    def form(self, path: str, **fields: Any) -> Any:
        return self.post(path, data={**fields, "csrf_token": self.csrf}, headers=PAGE)

    def call(self, path: str, body: Any = None) -> Any:
        return self.post(path, json={} if body is None else body, headers={"X-CSRF-Token": self.csrf})


def token_in(page: str) -> str:
    found = re.search(r'name="csrf(?:_token)?" (?:value|content)="([^"]+)"', page)
    assert found is not None
    return found[1]


@pytest.fixture
def make_team(tmp_path: Path) -> Iterator[Callable[..., Team]]:
    """Makes a team with a project of three pairs and a ranking, or of other tasks."""
    stores = []

    def make(*tasks: Any, place: str | None = None, **settings: Any) -> Team:
        store = open_store(place or str(tmp_path / "labels.db"))
        stores.append(store)
        project = make_project(store, "colours", Settings(**{"overlap": 2, **settings}))
        add_tasks(store, project.id, list(tasks) or [task("t0"), task("t1"), task("t2"), task("r", 4)])
        hashed = PASSWORDS.hashed(PASSWORD)
        for name, role in ROLES.items():
            person = add_person(store, name, role)  # type: ignore[arg-type]
            set_password_hash(store, person.id, hashed)
        return Team(store, build_annotation(store, b"k" * 32, passwords=PASSWORDS), project)

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def team(make_team: Callable[..., Team]) -> Team:
    return make_team()
