"""Which task a person gets next: training first, then work, with questions of a known answer hidden in it.

Among tasks that the person has the skills for and was not given before, those of higher priority go first, then the
more urgent ones where the project's route says what is urgent, then in the order of the files.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from boresight.web.annotation.people import Person
from boresight.web.annotation.projects import Project
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.schema import assignments, tasks
from boresight.web.annotation.store import one_row

AGAIN = ("expired", "released")
"""States of an assignment after which the same person may be given the task once more."""


def next_task(connection: Connection, project: Project, person: Person) -> Mapping[str, Any] | None:
    """A task for this person, locked for this transaction. Raises RefusedError where the training was not passed."""
    training = _first(connection, project, person, "training")
    if training is not None:
        return training
    _check_training(connection, project, person)
    work = _first(connection, project, person, "label")
    if work is not None and _gold_is_due(connection, project, person):
        return _first(connection, project, person, "gold") or work
    return work


def _first(connection: Connection, project: Project, person: Person, purpose: str) -> Mapping[str, Any] | None:
    had = (
        select(assignments.c.id)
        .where(
            assignments.c.task_id == tasks.c.id,
            assignments.c.person_id == person.id,
            assignments.c.state.not_in(AGAIN),
        )
        .exists()
    )
    order: list[ColumnElement[Any]] = [tasks.c.priority.desc(), tasks.c.position]
    if project.settings.route != "order":
        order.insert(1, tasks.c.urgency.desc())
    query = (
        select(tasks)
        .where(tasks.c.project_id == project.id, tasks.c.purpose == purpose, tasks.c.open.is_(True), ~had)
        .where(tasks.c.skills.in_(_within(project, person)))
        .order_by(*order)
        .limit(1)
    )
    locked = one_row(connection, query.with_for_update(skip_locked=True))
    while locked is None and one_row(connection, query) is not None:
        # The last tasks there are may all be held by others this moment, and still have places left when they let go.
        locked = one_row(connection, query.with_for_update())
    return locked


def _within(project: Project, person: Person) -> list[str]:
    """The sets of skills asked for in the project that this person has all of."""
    return [skills for skills in project.skill_sets if set(skills.split(",")) - {""} <= set(person.skills)]


def _check_training(connection: Connection, project: Project, person: Person) -> None:
    if project.settings.training_share == 0:
        return
    right = [row.right for row in _answered(connection, project, person, "training")]
    needed = math.ceil(project.settings.training_share * len(right))
    if sum(map(bool, right)) < needed:
        raise RefusedError(
            "not_qualified",
            f"{sum(map(bool, right))} of {len(right)} training tasks were right; {needed} are needed. Ask a reviewer.",
        )


def _gold_is_due(connection: Connection, project: Project, person: Person) -> bool:
    """The gaps are drawn from half to one and a half times `gold_every`, so that nobody can count them."""
    every = project.settings.gold_every
    if every == 0:
        return False
    counts = {
        purpose: connection.execute(
            select(func.count())
            .select_from(assignments)
            .where(
                assignments.c.person_id == person.id,
                assignments.c.project_id == project.id,
                assignments.c.purpose == purpose,
                assignments.c.state == "answered",
            )
        ).scalar_one()
        for purpose in ("label", "gold")
    }
    due = sum(_gap(project.settings.seed, person.id, number, every) for number in range(counts["gold"] + 1))
    return bool(counts["label"] >= due)


def _gap(seed: int, person_id: int, number: int, every: int) -> int:
    drawn = hashlib.sha256(f"{seed}\0gold\0{person_id}\0{number}".encode()).digest()
    shortest, longest = math.ceil(every / 2), every + every // 2
    return shortest + int.from_bytes(drawn[:8]) % (longest - shortest + 1)


def _answered(connection: Connection, project: Project, person: Person, purpose: str) -> list[Any]:
    own = assignments.c.person_id == person.id, assignments.c.project_id == project.id
    return list(
        connection.execute(
            select(assignments.c.right).where(*own, assignments.c.purpose == purpose, assignments.c.state == "answered")
        )
    )
