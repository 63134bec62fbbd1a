"""Who labels: roles, skills, secrets as hashes, and invite links.

Passwords are hashed and checked by `web.passwords`, tokens made and told by `web.api_tokens`; here their hashes are
opaque texts. An invite's code is random and long, so that its SHA-256 is enough to keep. Each is shown once, when it
is made.
"""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from boresight.web.annotation.events import append
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.schema import invites, people, tokens
from boresight.web.annotation.store import Store, insert_row, one_row
from boresight.web.api_tokens import digest_of, new_token

Role = Literal["admin", "reviewer", "annotator"]
ROLES: tuple[str, ...] = get_args(Role)  # each may do what those after it may
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may log in, and what they may do."""

    id: int
    name: str
    role: str
    skills: tuple[str, ...]
    active: bool

    def may(self, role: Role) -> bool:
        """Whether this person may do what asks for `role`."""
        return self.active and ROLES.index(self.role) <= ROLES.index(role)


def add_person(
    store: Store, name: str, role: Role = "annotator", *, skills: Collection[str] = (), by: int | None = None
) -> Person:
    """Raises RefusedError for a name that is taken or empty."""
    with store.write() as connection:
        return _add(connection, store.clock(), name, role, skills_text(skills), by)


def person_named(store: Store, name: str) -> Person | None:
    with store.read() as connection:
        row = one_row(connection, select(people).where(people.c.name == name))
        return _person(row) if row else None


def person_by_id(store: Store, person_id: int) -> Person:
    """Raises RefusedError where there is none of that id."""
    with store.read() as connection:
        return person_in(connection, person_id)


def all_people(store: Store) -> list[Person]:
    """Everybody, those that are no longer active too."""
    with store.read() as connection:
        return [_person(row) for row in connection.execute(select(people).order_by(people.c.id)).mappings()]


def change_person(
    store: Store,
    person_id: int,
    *,
    by: int | None = None,
    role: Role | None = None,
    active: bool | None = None,
    skills: Collection[str] | None = None,
) -> Person:
    """Give a person another role or skills, or lock the person out. The last active admin cannot be taken away."""
    if role is not None:
        _check_role(role)
    given = {"role": role, "active": active, "skills": None if skills is None else skills_text(skills)}
    values = {name: value for name, value in given.items() if value is not None}
    with store.write() as connection:
        before = lock_person(connection, person_id)
        if values:
            connection.execute(update(people).where(people.c.id == person_id).values(**values))
        keep_an_admin(connection, before)
        append(connection, "person_changed", at=store.clock(), person_id=by, body={"person": person_id, **values})
        return person_in(connection, person_id)


class Secrets(NamedTuple):
    """What decides whether somebody is let in: a password's hash, and from when on sessions count."""

    password_hash: str | None
    sessions_from: float


def let_in(store: Store, name: str) -> tuple[Person, Secrets] | None:
    """The active person of a name, with what logging in needs."""
    with store.read() as connection:
        row = one_row(connection, select(people).where(people.c.name == name, people.c.active))
    return None if row is None else (_person(row), Secrets(row["password_hash"], row["sessions_from"]))


def set_password_hash(store: Store, person_id: int, hashed: str, *, by: int | None = None) -> None:
    """Change a password; sessions that began before are over."""
    with store.write() as connection:
        lock_person(connection, person_id)
        values = {"password_hash": hashed, "sessions_from": store.clock()}
        connection.execute(update(people).where(people.c.id == person_id).values(**values))
        append(connection, "password_set", at=store.clock(), person_id=by, body={"person": person_id})


def make_token(store: Store, person_id: int, purpose: str, *, expires_at: float | None = None) -> str:
    """An API token; only its hash is kept."""
    token = new_token()
    body = {"purpose": purpose, "prefix": token.prefix}
    with store.write() as connection:
        lock_person(connection, person_id)
        values = {"person_id": person_id, "hash": token.digest, "purpose": purpose, "expires_at": expires_at}
        connection.execute(insert(tokens).values(**values))
        append(connection, "token_made", at=store.clock(), person_id=person_id, body=body)
    return token.text


def person_of_token(store: Store, token: str) -> Person | None:
    digest = digest_of(token)
    return person_of_digest(store, digest) if digest else None


def person_of_digest(store: Store, digest: str) -> Person | None:
    """The active person of a token that has not expired and was not revoked."""
    query = select(people, tokens.c.expires_at, tokens.c.revoked_at).join(tokens).where(tokens.c.hash == digest)
    with store.read() as connection:
        row = one_row(connection, query)
    if row is None or not row["active"] or row["revoked_at"] is not None:
        return None
    return None if row["expires_at"] is not None and row["expires_at"] <= store.clock() else _person(row)


def revoke_tokens(store: Store, person_id: int, *, by: int | None = None) -> int:
    """Make all tokens of a person useless; how many there were."""
    with store.write() as connection:
        done = connection.execute(
            update(tokens)
            .where(tokens.c.person_id == person_id, tokens.c.revoked_at.is_(None))
            .values(revoked_at=store.clock())
        )
        append(connection, "token_revoked", at=store.clock(), person_id=by, body={"person": person_id})
        return int(done.rowcount)


def make_invite(
    store: Store, role: Role = "annotator", *, valid_seconds: float, skills: Collection[str] = (), by: int | None = None
) -> str:
    """The code of a link by which one person can join, once, until it expires."""
    _check_role(role)
    code = secrets.token_urlsafe(32)
    values = {"role": role, "skills": skills_text(skills), "invited_by": by}
    with store.write() as connection:
        expires_at = store.clock() + valid_seconds
        connection.execute(insert(invites).values(hash=_hash(code), expires_at=expires_at, **values))
        append(connection, "invite_made", at=store.clock(), person_id=by, body={**values, "expires_at": expires_at})
    return code


def invited_role(store: Store, code: str) -> str | None:
    """What an invite makes of whoever takes it; None where it is unknown, used or expired."""
    query = select(invites.c.role).where(invites.c.hash == _hash(code), invites.c.person_id.is_(None))
    with store.read() as connection:
        return connection.execute(query.where(invites.c.expires_at > store.clock())).scalar_one_or_none()


def accept_invite(store: Store, code: str, name: str, password_hash: str | None = None) -> Person:
    """Join by an invite. Raises RefusedError for a code that is unknown, used or expired, and for a name that is taken,
    after which the code is still good. Invites by nobody make the first admin: once one is used, the others expire."""
    by_nobody = invites.c.invited_by.is_(None) & (invites.c.role == "admin") & invites.c.person_id.is_(None)
    with store.write() as connection:
        # Two of them that are used at once wait for each other here, in one order.
        connection.execute(select(invites.c.id).where(by_nobody).order_by(invites.c.id).with_for_update())
        invite = one_row(connection, select(invites).where(invites.c.hash == _hash(code)).with_for_update())
        if invite is None or invite["person_id"] is not None or invite["expires_at"] <= store.clock():
            raise RefusedError("not_found", "this invite is unknown, used or expired. Ask for a new one.")
        person = _add(connection, store.clock(), name, invite["role"], invite["skills"], invite["invited_by"])
        connection.execute(update(people).where(people.c.id == person.id).values(password_hash=password_hash))
        connection.execute(update(invites).where(invites.c.id == invite["id"]).values(person_id=person.id))
        append(connection, "invite_used", at=store.clock(), person_id=person.id, body={"invite": invite["id"]})
        if invite["invited_by"] is None and invite["role"] == "admin":
            connection.execute(update(invites).where(by_nobody).values(expires_at=store.clock()))
        return person


def lock_person(connection: Connection, person_id: int) -> Person:
    """The person, whose other transactions wait from here on."""
    row = one_row(connection, select(people).where(people.c.id == person_id).with_for_update())
    if row is None:
        raise RefusedError("not_found", f"there is no person {person_id}.")
    return _person(row)


def person_in(connection: Connection, person_id: int) -> Person:
    row = one_row(connection, select(people).where(people.c.id == person_id))
    if row is None:
        raise RefusedError("not_found", f"there is no person {person_id}.")
    return _person(row)


def keep_an_admin(connection: Connection, before: Person) -> None:
    """Raises RefusedError where a person was the last active admin, who could have added others."""
    admins = select(func.count()).select_from(people).where(people.c.active, people.c.role == "admin")
    if before.may("admin") and not connection.execute(admins).scalar_one():
        raise RefusedError("not_allowed", "this is the last active admin. Make somebody else an admin first.")


def skills_text(skills: Collection[str]) -> str:
    """Skills in one spelling: in order, joined by commas."""
    found = sorted({skill.strip() for skill in skills} - {""})
    if bad := [skill for skill in found if "," in skill]:
        raise RefusedError("bad_request", f"skill {bad[0]!r}: a skill's name has no comma.")
    return ",".join(found)


def _add(connection: Connection, now: float, name: str, role: str, skills: str, by: int | None) -> Person:
    _check_role(role)
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise RefusedError("bad_request", f"name {name[:40]!r}: expected 1 to {LONGEST_NAME} printable characters.")
    values = {"name": name, "role": role, "skills": skills, "active": True, "created_at": now, "sessions_from": now}
    try:
        with connection.begin_nested():
            person_id = insert_row(connection, people, values)
    except IntegrityError as error:
        raise RefusedError("bad_request", f"name {name!r}: somebody has this name. Choose another.") from error
    append(connection, "person_added", at=now, person_id=by, body={"person": person_id, "role": role})
    return person_in(connection, person_id)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise RefusedError("bad_request", f"role {role!r}: expected {', '.join(ROLES)}.")


def _person(row: Any) -> Person:
    skills = tuple(row["skills"].split(",")) if row["skills"] else ()
    return Person(row["id"], row["name"], row["role"], skills, row["active"])


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
