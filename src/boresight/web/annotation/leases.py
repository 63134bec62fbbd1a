"""Leases: who holds which place of a task, and until when. The counts in `tasks` move with the assignments, in the
transaction that has the task locked."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, case, insert, select, update

from boresight.web.annotation.answers import shown_order
from boresight.web.annotation.people import Person
from boresight.web.annotation.projects import Project
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.schema import assignments, tasks
from boresight.web.annotation.store import Store, one_row


def current_lease(connection: Connection, project_id: int, person_id: int) -> dict[str, Any] | None:
    """What the person is at. A lease that has run out holds as long as nobody else has asked for a task."""
    own = assignments.c.person_id == person_id, assignments.c.project_id == project_id
    return one_row(connection, select(assignments).where(*own, assignments.c.state == "leased"))


def expire_leases(store: Store, project_id: int) -> None:
    """Free the places of leases that have run out, in a transaction of its own, so that a claim holds no task but the
    one that it is about. Tasks that another transaction holds are left for the next time."""
    over = (
        assignments.c.project_id == project_id,
        assignments.c.state == "leased",
        assignments.c.leased_until < store.clock(),
    )
    stale = select(tasks).join(assignments, assignments.c.task_id == tasks.c.id).where(*over)
    with store.read() as connection:
        if connection.execute(stale.limit(1)).first() is None:
            return
    with store.write() as connection:
        locked = connection.execute(stale.with_for_update(of=tasks, skip_locked=True)).mappings().all()
        for task in {task["id"]: dict(task) for task in locked}.values():
            freed = connection.execute(
                update(assignments).where(*over, assignments.c.task_id == task["id"]).values(state="expired")
            ).rowcount
            move_counts(connection, task, taken=-freed)


def lease(
    connection: Connection, project: Project, person: Person, task: Mapping[str, Any], now: float
) -> dict[str, Any]:
    """Lease a locked task that has an open place; one that this person had before keeps its order and its draft."""
    values = {"state": "leased", "claimed_at": now, "leased_until": now + project.settings.lease_seconds}
    own = assignments.c.task_id == task["id"], assignments.c.person_id == person.id
    before = one_row(connection, select(assignments).where(*own))
    if before is not None:
        connection.execute(update(assignments).where(*own).values(**values))
    else:
        values |= {"project_id": project.id, "task_id": task["id"], "person_id": person.id, "purpose": task["purpose"]}
        values["shown"] = shown_order(project.settings.seed, task["key"], person.id, len(task["responses"]))
        connection.execute(insert(assignments).values(**values))
    move_counts(connection, task, taken=1)
    return {"draft": None, **(before or {}), **values}


def move_counts(connection: Connection, task: Mapping[str, Any], *, taken: int = 0, answered: int = 0) -> None:
    """Move a locked task's counts; it is open where places are left, always so without an overlap."""
    now_taken = tasks.c.taken + taken
    connection.execute(
        update(tasks)
        .where(tasks.c.id == task["id"])
        .values(
            taken=now_taken,
            answered=tasks.c.answered + answered,
            open=case((tasks.c.overlap.is_(None), True), else_=now_taken < tasks.c.overlap),
        )
    )


def lock_task(connection: Connection, task_id: int) -> Mapping[str, Any]:
    """The task's row, locked until the transaction ends. Raises RefusedError where there is none."""
    row = one_row(connection, select(tasks).where(tasks.c.id == task_id).with_for_update())
    if row is None:
        raise RefusedError("not_found", f"there is no task {task_id}.")
    return row


def task_in(connection: Connection, task_id: int) -> dict[str, Any]:
    """The task's row. Raises RefusedError where there is none."""
    return dict(connection.execute(select(tasks).where(tasks.c.id == task_id)).mappings().one())


def assignment_of(connection: Connection, task_id: int, person_id: int) -> Mapping[str, Any]:
    """That person's place at the task. Raises RefusedError where there is none."""
    own = assignments.c.task_id == task_id, assignments.c.person_id == person_id
    row = one_row(connection, select(assignments).where(*own))
    if row is None:
        raise RefusedError("not_found", f"task {task_id} was not given to you.")
    return row
