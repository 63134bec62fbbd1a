"""The log of everything that was answered and done. Lines are added and never changed: the database refuses that."""

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Connection, func, insert, select

from boresight.web.annotation.schema import events, people, private_details
from boresight.web.annotation.store import Store, insert_row

Kind = Literal[
    # of tasks
    "answer", "late_answer", "skip", "undo", "adjudication",
    # of people and projects: the audit log
    "login", "login_failed", "logout", "person_added", "person_changed", "person_erased", "password_set",
    "token_made", "token_revoked", "invite_made", "invite_used",
    "project_made", "project_changed", "project_paused", "project_resumed", "tasks_added", "exported", "refused",
]  # fmt: skip


def append(
    connection: Connection,
    kind: Kind,
    *,
    at: float,
    person_id: int | None = None,
    project_id: int | None = None,
    task_id: int | None = None,
    key: str | None = None,
    body: Mapping[str, Any] | None = None,
    private: Mapping[str, Any] | None = None,
) -> int:
    """Add a line to the log, within the caller's transaction; its id. `private` is what is deleted with a person."""
    values = {"at": at, "kind": kind, "person_id": person_id, "project_id": project_id, "task_id": task_id, "key": key}
    event_id = insert_row(connection, events, {**values, "body": dict(body or {})})
    if private:
        connection.execute(insert(private_details).values(event_id=event_id, body=dict(private)))
    return event_id


def record(store: Store, kind: Kind, *, person_id: int | None = None, **more: Any) -> int:
    """A line of the audit log in a transaction of its own: a log-in, an export, a request that was refused."""
    with store.write() as connection:
        return append(connection, kind, at=store.clock(), person_id=person_id, **more)


def audit_log(
    store: Store,
    *,
    project_id: int | None = None,
    person_id: int | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Lines of the log, the newest first, with names and private details where these are still there. `before`: an id,
    for the next page."""
    query = (
        select(events, people.c.name.label("person"), private_details.c.body.label("private"))
        .outerjoin(people, people.c.id == events.c.person_id)
        .outerjoin(private_details, private_details.c.event_id == events.c.id)
        .order_by(events.c.id.desc())
        .limit(limit)
    )
    for column, value in ((events.c.project_id, project_id), (events.c.person_id, person_id)):
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(events.c.id < before)
    with store.read() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def count_since(store: Store, kind: Kind, since: float, *, person_id: int | None = None) -> int:
    """How often something happened since a time: what a limit on failed log-ins asks."""
    query = select(func.count()).select_from(events).where(events.c.kind == kind, events.c.at >= since)
    if person_id is not None:
        query = query.where(events.c.person_id == person_id)
    with store.read() as connection:
        return int(connection.execute(query).scalar_one())
