"""What answers on the loopback address where pages name something of the reader's: a judge, an identity provider, a
PostgreSQL server, the annotation app of a team. And how a server of ours ends: once it has answered."""

import asyncio
import http.client
import re
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import uvicorn

from boresight.cli.label_import import read_and_add
from boresight.web.annotation.pages.app import build_annotation
from boresight.web.annotation.people import add_person, make_token, person_named
from boresight.web.annotation.settings import Settings
from boresight.web.annotation.store import open_store
from tests.feedback.judge_server import JudgeServer
from tests.web.browsing import served
from tests.web.identity_provider import identity_provider
from tests.web.postgres import new_database, postgres_server, why_no_postgres

JUDGE = re.compile(r"https?://(?:127\.0\.0\.1:8000|api\.openai\.com)/v1\b")
PROVIDER = "https://id.example.org/realms/team"
DATABASE = "postgresql://boresight@db/labels"
APP = "http://127.0.0.1:7008"

SERVING = (("monitor",), ("label", "serve"), ("serve", "reward"))
"""Verbs that end when they are told to."""


class Endpoints:
    """Each is started when a page first names it, and ends with `stack`."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    @cached_property
    def judge(self) -> str:
        return str(self._stack.enter_context(JudgeServer()).url)

    @cached_property
    def provider(self) -> str:
        """Its name, which is its address."""
        return self._stack.enter_context(identity_provider()).issuer

    @cached_property
    def postgres(self) -> str | None:
        """None where this machine has no programs of it: what needs one is then read, and does not run."""
        return None if why_no_postgres() else self._stack.enter_context(postgres_server())

    def there(self, word: str) -> str:
        """The word with addresses that answer here; that of the database is the page's own."""
        word = JUDGE.sub(lambda found: self.judge, word)
        return word.replace(PROVIDER, self.provider) if PROVIDER in word else word

    def database(self, tasks: Path | None) -> str:
        """A place on the server, empty or with these tasks in it."""
        assert self.postgres is not None
        place = new_database(self.postgres)
        if tasks is not None:
            read_and_add([tasks], place, "labels", Settings(overlap=2), pairs=False)
        return place


def ask_annotation_app(words: Sequence[str], folder: Path) -> tuple[int, str]:
    """Run curl while the app of a team serves the folder's tasks; $TOKEN is that of a member. 2: it was refused."""
    place = str(folder / "team.db")
    read_and_add([folder / "tasks.jsonl"], place, "team", Settings(), pairs=False)
    store = open_store(place)
    member = person_named(store, "ann") or add_person(store, "ann")
    token = make_token(store, member.id, "api")
    with served(build_annotation(store, b"k" * 32)) as link:
        asked = [word.replace(APP, link).replace("$TOKEN", token) for word in words[1:]]
        quiet = ("--silent", "--show-error", "--fail-with-body", "--noproxy", "*")
        done = subprocess.run([words[0], *quiet, *asked], capture_output=True, text=True, check=False)
    store.close()
    return 2 * bool(done.returncode), done.stdout + done.stderr


def ends_once_it_answers(words: Sequence[str]) -> Callable[[uvicorn.Server], Awaitable[None]]:
    """In the place of uvicorn's waiting loop: until the app has answered a request, and is no longer loading (503).
    Where people may log in at a provider, they are sent on to it."""

    async def main_loop(server: uvicorn.Server) -> None:
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        deadline = time.monotonic() + 20
        while (await asyncio.to_thread(_asked, host, port, "/ready"))[0] == 503:
            if time.monotonic() > deadline:
                raise TimeoutError("the server was not ready in 20 seconds")
            await asyncio.sleep(0.01)
        if "--oidc-issuer" in words:
            status, where = await asyncio.to_thread(_asked, host, port, "/login/oidc")
            named = f"client_id={words[words.index('--oidc-client') + 1]}&"
            issuer = words[words.index("--oidc-issuer") + 1]
            assert status == 303 and where.startswith(f"{issuer}/authorize?") and named in where, (status, where)

    return main_loop


def _asked(host: str, port: int, path: str) -> tuple[int, str]:
    """Status and Location of the answer."""
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Location", "")
    finally:
        connection.close()
