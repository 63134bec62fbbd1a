"""A face with one route for each thing that the security parts decide, and accounts in a dictionary."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from argon2 import PasswordHasher
from fastapi import Body, Depends, FastAPI, Form
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.testclient import TestClient

from boresight.web.access import Account, Door, Role, SecurityEvent, TrustedProxy, open_to_all, requires
from boresight.web.csrf import csrf_token
from boresight.web.login import login_routes
from boresight.web.passwords import Passwords
from boresight.web.rate_limit import RateLimit
from boresight.web.sessions import Sessions
from boresight.web.shell import build_shell

PASSWORDS = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))  # cheap: tests hash often
PASSWORD = "correct horse battery"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Book:
    """Accounts, and what was noted of them."""

    accounts: dict[str, Account] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    events: list[SecurityEvent] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """What routes that change something have changed."""

    def by_name(self, name: str) -> Account | None:
        return self.accounts.get(name)

    def by_token(self, digest: str) -> Account | None:
        return self.accounts.get(self.tokens.get(digest, ""))

    @property
    def noted(self) -> list[str]:
        return [event.what for event in self.events]


def book() -> Book:
    hashed = PASSWORDS.hashed(PASSWORD)
    roles = {"ada": Role.ADMIN, "rey": Role.REVIEWER, "ann": Role.ANNOTATOR}
    return Book({name: Account(name, role, hashed) for name, role in roles.items()})


def tiny_face(
    accounts: Book,
    clock: Callable[[], float],
    *,
    proxy: TrustedProxy | None = None,
    https: bool = False,
    api_limit: RateLimit | None = None,
) -> FastAPI:
    door = Door(
        accounts=accounts, sessions=Sessions(b"k" * 32, https=https, clock=clock), passwords=PASSWORDS, proxy=proxy,
        login_limit=RateLimit(burst=3, per_second=0.1, clock=clock),
        address_limit=RateLimit(burst=6, per_second=1.0, clock=clock),
        api_limit=api_limit or RateLimit(burst=100, per_second=10, clock=clock), note=accounts.events.append,
    )  # fmt: skip
    app = build_shell("tiny", hosts=("testserver", "127.0.0.1"), https=https, most_body_bytes=2000, door=door)
    app.include_router(login_routes("/mine"))

    @app.get("/open", dependencies=[Depends(open_to_all)])
    def open_page(request: Request) -> Response:
        return HTMLResponse(csrf_token(request))

    @app.get("/mine")
    def mine(account: Annotated[Account, Depends(requires(Role.ANNOTATOR))]) -> dict[str, str]:
        return {"name": account.name}

    @app.get("/review", dependencies=[Depends(requires(Role.REVIEWER))])
    def review() -> dict[str, str]:
        return {"page": "review"}

    @app.post("/form")
    def form(text: Annotated[str, Form()], account: Annotated[Account, Depends(requires(Role.ANNOTATOR))]) -> None:
        accounts.kept.append(text)

    @app.post("/json", dependencies=[Depends(requires(Role.ANNOTATOR))])
    def json(text: Annotated[str, Body(embed=True)]) -> None:
        accounts.kept.append(text)

    @app.get("/broken", dependencies=[Depends(open_to_all)])
    def broken() -> None:
        raise RuntimeError("a secret of the server")

    return app


def log_in(client: TestClient, name: str = "ann", password: str = PASSWORD, next: str = "") -> Response:
    """Go to the login page and send its form, as a browser does; redirects are not followed."""
    token = client.get("/open").text
    form = {"name": name, "password": password, "next": next, "csrf_token": token}
    answer = client.post("/login", data=form, follow_redirects=False, headers={"Accept": "text/html"})
    return answer  # type: ignore[return-value]  # the client's response has the same status, headers and text
