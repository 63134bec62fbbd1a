"""Deleting a person's data, while their votes stay under a number."""

from sqlalchemy import delete, select, update

from boresight.web.annotation.events import append
from boresight.web.annotation.leases import lock_task, move_counts
from boresight.web.annotation.people import keep_an_admin, lock_person
from boresight.web.annotation.schema import assignments, events, people, private_details, tokens
from boresight.web.annotation.store import Store


def erase_person(store: Store, person_id: int, *, by: int | None = None) -> None:
    """Delete a person's data: name, password, tokens, drafts, comments and network addresses. Votes stay, under a
    number. An open lease is given back."""
    with store.write() as connection:
        before = lock_person(connection, person_id)
        own = select(events.c.id).where(events.c.person_id == person_id)
        connection.execute(delete(private_details).where(private_details.c.event_id.in_(own)))
        connection.execute(delete(tokens).where(tokens.c.person_id == person_id))
        leases = assignments.c.person_id == person_id, assignments.c.state == "leased"
        for task_id in connection.execute(select(assignments.c.task_id).where(*leases)).scalars().all():
            move_counts(connection, lock_task(connection, task_id), taken=-1)
        connection.execute(update(assignments).where(*leases).values(state="released"))
        connection.execute(update(assignments).where(assignments.c.person_id == person_id).values(draft=None))
        connection.execute(
            update(people)
            .where(people.c.id == person_id)
            .values(name=f"erased-{person_id}", password_hash=None, skills="", active=False, erased_at=store.clock())
        )
        keep_an_admin(connection, before)
        append(connection, "person_erased", at=store.clock(), person_id=by, body={"person": person_id})
