"""Who asks, and whether they may: each route names the role that it needs, or says that it is open to all.

A request is known by an API token, by a header that a trusted proxy sets, or by its session, in this order. Where the
accounts live is not known here: `Accounts` is what is asked of them.
"""

import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request

from boresight.web.api_tokens import digest_of
from boresight.web.passwords import Passwords
from boresight.web.rate_limit import RateLimit
from boresight.web.sessions import Session, Sessions

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Role(IntEnum):
    """Each role may do what the ones below it may."""

    ANNOTATOR = 1
    REVIEWER = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may come in. Sessions that began before `sessions_from` (seconds of the epoch) no longer count."""

    name: str
    role: Role
    password_hash: str | None = None
    sessions_from: float = 0.0


class Accounts(Protocol):
    """What is asked of the store of accounts. Whoever was shut out is not found."""

    def by_name(self, name: str) -> Account | None:
        """The account of that name."""
        ...

    def by_token(self, digest: str) -> Account | None:
        """The account whose token has that digest."""
        ...


@dataclass(frozen=True, slots=True)
class TrustedProxy:
    """A proxy in front that has checked who asks and says so in `header`; believed only from these networks."""

    header: str
    networks: tuple[Network, ...]

    def user(self, request: Request) -> str | None:
        """The name that the proxy vouches for; None where the request did not come through it."""
        name = request.headers.get(self.header)
        return name if name and any(address_of(request) in network for network in self.networks) else None


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """Something worth keeping in an audit log: a login, a refusal. `who` is the name given, "" where there is none."""

    what: str
    who: str
    address: str
    path: str


def log_event(event: SecurityEvent) -> None:
    """One line of the security log, with no secrets in it."""
    logging.getLogger("boresight.web").warning("%s: %r from %s at %s", event.what, event.who, event.address, event.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """All that decides who comes in; it is `app.state.door`."""

    accounts: Accounts
    sessions: Sessions
    passwords: Passwords = field(default_factory=Passwords)
    proxy: TrustedProxy | None = None
    login_limit: RateLimit = field(default_factory=lambda: RateLimit(burst=10, per_second=1 / 30))
    """For each name: ten wrong tries, then two a minute."""
    address_limit: RateLimit = field(default_factory=lambda: RateLimit(burst=30, per_second=1 / 10))
    """For each address, behind which there may be a whole office: thirty wrong tries, then six a minute."""
    api_limit: RateLimit = field(default_factory=lambda: RateLimit(burst=200, per_second=50.0))
    """For each account."""
    note: Callable[[SecurityEvent], None] = log_event

    def refuse(self, request: Request, status: int, what: str, message: str, who: str = "") -> HTTPException:
        """The refusal of a request, noted."""
        self.note(SecurityEvent(what, who, str(address_of(request)), request.url.path))
        return HTTPException(status, message)


def door_of(request: Request) -> Door:
    """The face's own accounts and rules, as the app holds them."""
    door = request.app.state.door
    assert isinstance(door, Door)
    return door


def address_of(request: Request) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The peer's address; of a peer without one (a socket in the file system) the unspecified address."""
    try:
        return ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return ipaddress.ip_address("0.0.0.0")


def bearer_of(request: Request) -> str | None:
    """The token of the Authorization header, which no browser sends by itself."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def account_of(request: Request) -> Account | None:
    """Who asks; None for nobody that is known. A wrong API token is refused (401), not passed over."""
    door = door_of(request)
    token = bearer_of(request)
    if token is not None:
        digest = digest_of(token)
        account = door.accounts.by_token(digest) if digest else None
        if account is None:
            raise door.refuse(request, 401, "wrong API token", "This API token is not known, or no longer valid.")
        return account
    if door.proxy is not None and (name := door.proxy.user(request)) is not None:
        return door.accounts.by_name(name)
    session: Session | None = request.state.session
    if session is None or session.user is None:
        return None
    account = door.accounts.by_name(session.user)
    return account if account is not None and session.since >= account.sessions_from else None


def requires(role: Role) -> Callable[[Request], Account]:
    """A dependency: the account that asks, which must have at least this role.

    Raises 401 for nobody that is known (pages lead to the login from there), 403 for a lower role, and 429 for an
    account that asks too often.
    """

    def admitted(request: Request) -> Account:
        door = door_of(request)
        account = account_of(request)
        if account is None:
            raise HTTPException(401, "Log in first.")
        if account.role < role:
            message = f"This needs the role {role.name.lower()}; you are {account.role.name.lower()}."
            raise door.refuse(request, 403, "role too low", message, account.name)
        wait = door.api_limit.take(account.name)
        if wait:
            raise HTTPException(429, "Too many requests; wait a moment.", {"Retry-After": str(int(wait) + 1)})
        return account

    admitted.role = role  # type: ignore[attr-defined]  # `unguarded` finds routes by it
    return admitted


def open_to_all() -> None:
    """A dependency that says on purpose: this route needs no account."""


def unguarded(app: FastAPI) -> list[str]:
    """Routes that name neither a role nor `open_to_all`: a test of each face holds that there are none."""

    def guarded(dependant: Dependant) -> bool:
        call = dependant.call
        return call is open_to_all or hasattr(call, "role") or any(guarded(one) for one in dependant.dependencies)

    return [str(route.path) for route in routes_of(app) if not guarded(route.dependant)]


def routes_of(app: FastAPI) -> list[RouteContext]:
    """All routes that answer requests, those of included routers too."""
    return [route for route in iter_route_contexts(app.routes) if isinstance(route.original_route, APIRoute)]
