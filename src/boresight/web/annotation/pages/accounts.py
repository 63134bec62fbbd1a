"""People of the store as accounts of the web app, and what happens at its door as lines of the audit log."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from boresight.web.access import Account, Role, SecurityEvent, requires
from boresight.web.annotation.events import Kind, record
from boresight.web.annotation.people import Person, let_in, person_of_digest
from boresight.web.annotation.store import Store
from boresight.web.rate_limit import RateLimit


@dataclass(frozen=True, slots=True)
class Member(Account):
    """An account with the number that its person has in the store."""

    person_id: int = 0

    @property
    def reviews(self) -> bool:
        return self.role >= Role.REVIEWER

    @property
    def administers(self) -> bool:
        return self.role >= Role.ADMIN


Annotator = Annotated[Member, Depends(requires(Role.ANNOTATOR))]
Reviewer = Annotated[Member, Depends(requires(Role.REVIEWER))]
Admin = Annotated[Member, Depends(requires(Role.ADMIN))]


@dataclass(frozen=True, slots=True)
class StoreAccounts:
    """What `web.access` asks of accounts, answered by the store. Whoever is locked out is not found."""

    store: Store

    def by_name(self, name: str) -> Member | None:
        found = let_in(self.store, name) if name.isprintable() else None
        return None if found is None else _member(found[0], found[1].password_hash, found[1].sessions_from)

    def by_token(self, digest: str) -> Member | None:
        person = person_of_digest(self.store, digest)
        return None if person is None else _member(person)


@dataclass(frozen=True, slots=True)
class AuditNotes:
    """Writes log-ins and refusals into the audit log: from each address a hundred, then one a second, so that nobody
    can fill the disk with them. The server's own log tells all."""

    store: Store
    also: Callable[[SecurityEvent], None]
    limit: RateLimit = field(default_factory=lambda: RateLimit(burst=100, per_second=1.0))

    def __call__(self, event: SecurityEvent) -> None:
        kinds: dict[str, Kind] = {"login": "login", "wrong password": "login_failed", "too many logins": "login_failed"}
        if event.what != "login":
            self.also(event)
        if self.limit.take(event.address):
            return
        found = let_in(self.store, event.who) if event.who and event.who.isprintable() else None
        record(
            self.store,
            kinds.get(event.what, "refused"),
            person_id=found[0].id if found else None,
            body={"what": event.what, "path": event.path[:200]},
            private={"address": event.address},
        )


def store_of(request: Request) -> Store:
    """The store that the app serves."""
    store = request.app.state.store
    assert isinstance(store, Store)
    return store


def _member(person: Person, password_hash: str | None = None, sessions_from: float = 0.0) -> Member:
    return Member(person.name, Role[person.role.upper()], password_hash, sessions_from, person.id)
