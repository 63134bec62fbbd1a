"""Who labels what: claim the next task, send the answer, skip, undo.

No two people hold one open place of a task, no task gets more answers than its overlap, and nobody is asked the same
twice. A claim is a lease: drafts renew it, and once it has run out the place goes to the next who asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from boresight.feedback.human_labels import disagreement
from boresight.storage import canonical_json
from boresight.web.annotation.answers import Answer, as_shown, comment_of, is_right, vote_from, vote_of
from boresight.web.annotation.events import append
from boresight.web.annotation.leases import (
    assignment_of,
    current_lease,
    expire_leases,
    lease,
    lock_task,
    move_counts,
    task_in,
)
from boresight.web.annotation.people import Person, lock_person
from boresight.web.annotation.projects import Project, project_in
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.routing import next_task
from boresight.web.annotation.schema import assignments, events, tasks
from boresight.web.annotation.store import Store, one_row

LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class Claim:
    """A task as its annotator sees it: nothing tells a gold question, or which model a response is of. `responses` are
    in the order to show; `suggestion` is there in triage alone, and `draft` is what was saved last."""

    task_id: int
    prompt: list[dict[str, str]]
    responses: list[str]
    training: bool
    leased_until: float
    draft: dict[str, Any] | None
    suggestion: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """An answer that is on the disk. `repeated`: it was there before. In training `right` tells how it went and
    `expected` what was known, by places; `suggestion` is what an AI had answered, told after the vote."""

    event_id: int
    repeated: bool = False
    right: bool | None = None
    expected: dict[str, Any] | None = None
    explanation: str = ""
    suggestion: dict[str, Any] | None = None


def claim(store: Store, project_id: int, person_id: int) -> Claim | None:
    """The task that this person is at, or the next one; None where there is none for them (now).

    Raises RefusedError: paused, closed, not_qualified, not_allowed.
    """
    expire_leases(store, project_id)
    with store.write() as connection:
        person = lock_person(connection, person_id)
        project = project_in(connection, project_id)
        now = store.clock()
        _check_open(project, person, now)
        current = current_lease(connection, project_id, person_id)
        if current is not None:
            until = now + project.settings.lease_seconds
            connection.execute(update(assignments).where(assignments.c.id == current["id"]).values(leased_until=until))
            return _claim(connection, project, {**current, "leased_until": until})
        task = next_task(connection, project, person)
        if task is None:
            return None
        return _claim(connection, project, lease(connection, project, person, task, now))


def save_draft(store: Store, task_id: int, person_id: int, draft: Answer) -> float:
    """Keep an unfinished answer and renew the lease; until when that runs. Raises RefusedError where it is lost."""
    comment_of(draft)
    with store.write() as connection:
        lock_person(connection, person_id)
        row = assignment_of(connection, task_id, person_id)
        if row["state"] != "leased":
            raise _lost(row["state"])
        project = project_in(connection, row["project_id"])
        until = store.clock() + project.settings.lease_seconds
        values = {"draft": dict(draft), "leased_until": until}
        connection.execute(update(assignments).where(assignments.c.id == row["id"]).values(**values))
        return until


def submit(store: Store, task_id: int, person_id: int, answer: Answer, *, key: str) -> Receipt:
    """Store an answer. It is committed when this returns. The same `key` (drawn by the client for each answer) with the
    same answer stores nothing again and returns the first receipt.

    Raises RefusedError: bad_answer; lease_lost where the place has gone to others (the answer is in the log as a
    late_answer); key_used; not_found.
    """
    if not key or len(key) > LONGEST_KEY:
        raise RefusedError("bad_answer", f"the answer key has {len(key)} characters; expected 1 to {LONGEST_KEY}.")
    with store.write() as connection:
        lock_person(connection, person_id)
        known = one_row(connection, select(events).where(events.c.person_id == person_id, events.c.key == key))
        if known is not None:
            return _repeated(connection, known, task_id, answer)
        task = lock_task(connection, task_id)
        row = assignment_of(connection, task_id, person_id)
        project = project_in(connection, row["project_id"])
        now = store.clock()
        vote = vote_of(answer, row["shown"], project.settings, elapsed=max(0.0, now - row["claimed_at"]))
        body = {
            "sent": _without_comment(answer),
            "shown": row["shown"],
            "vote": vote,
            "suggested": row["told"],
        }
        holds = row["state"] == "leased" or (row["state"] in ("expired", "released") and task["open"])
        comment = comment_of(answer)
        event_id = append(
            connection,
            "answer" if holds else "late_answer",
            at=now,
            person_id=person_id,
            project_id=project.id,
            task_id=task_id,
            key=key,
            body=body,
            private={"comment": comment} if comment else None,
        )
        if holds:
            right = is_right(vote, task["gold"]) if task["gold"] else None
            told = task["suggestion"] is not None  # by the receipt
            values = {"state": "answered", "event_id": event_id, "right": right, "draft": None, "told": told}
            connection.execute(update(assignments).where(assignments.c.id == row["id"]).values(**values))
            move_counts(connection, task, taken=int(row["state"] != "leased"), answered=1)
            _route_disputes(connection, project, task)
            return _receipt(task, event_id, row["shown"], vote)
    raise _lost(row["state"])


def skip(store: Store, task_id: int, person_id: int, *, reason: str = "") -> None:
    """Give a task back for good: it goes to others, and not to this person again."""
    with store.write() as connection:
        lock_person(connection, person_id)
        task = lock_task(connection, task_id)
        row = assignment_of(connection, task_id, person_id)
        if row["state"] != "leased":
            raise _lost(row["state"])
        append(
            connection,
            "skip",
            at=store.clock(),
            person_id=person_id,
            project_id=row["project_id"],
            task_id=task_id,
            private={"comment": reason} if reason else None,
        )
        connection.execute(update(assignments).where(assignments.c.id == row["id"]).values(state="skipped", draft=None))
        move_counts(connection, task, taken=-1)


def undo(store: Store, project_id: int, person_id: int) -> Claim:
    """Take back the person's last answer or skip and be at that task again, the answer being its draft. The event stays
    in the log; a task claimed meanwhile is given back.

    Raises RefusedError (nothing_to_undo) where there is none, it was training, or the place has gone to others.
    """
    with store.write() as connection:
        person = lock_person(connection, person_id)
        project = project_in(connection, project_id)
        now = store.clock()
        last = _last_done(connection, project_id, person_id)
        if last is None:
            raise RefusedError("nothing_to_undo", "there is no answer of yours to take back.")
        event, row = last
        if row["purpose"] == "training":
            raise RefusedError("nothing_to_undo", "an answer in training stays: its solution was shown.")
        current = current_lease(connection, project_id, person_id)
        held = {row["task_id"], *([current["task_id"]] if current else [])}
        locked = {task_id: lock_task(connection, task_id) for task_id in sorted(held)}
        task = locked[row["task_id"]]
        if task["adjudication_id"] is not None or (row["state"] == "skipped" and not task["open"]):
            raise RefusedError("nothing_to_undo", "the task was decided on, or has gone to others meanwhile.")
        if current is not None:
            connection.execute(update(assignments).where(assignments.c.id == current["id"]).values(state="released"))
            move_counts(connection, locked[current["task_id"]], taken=-1)
        answered = row["state"] == "answered"
        append(
            connection,
            "undo",
            at=now,
            person_id=person.id,
            project_id=project_id,
            task_id=row["task_id"],
            body={"event": event["id"]},
        )
        values = {
            "state": "leased",
            "event_id": None,
            "right": None,
            "draft": event["body"]["sent"] if answered else None,
            "leased_until": now + project.settings.lease_seconds,
        }
        connection.execute(update(assignments).where(assignments.c.id == row["id"]).values(**values))
        move_counts(connection, task, taken=int(not answered), answered=-int(answered))
        return _claim(connection, project, {**row, **values})


def _check_open(project: Project, person: Person, now: float) -> None:
    if not person.active:
        raise RefusedError("not_allowed", f"{person.name} is locked out. Ask an admin.")
    if project.paused:
        raise RefusedError("paused", f"project {project.name!r} is paused. Come back when it goes on.")
    if project.settings.deadline is not None and now >= project.settings.deadline:
        raise RefusedError("closed", f"project {project.name!r} is closed: its deadline is over.")


def _route_disputes(connection: Connection, project: Project, task: Mapping[str, Any]) -> None:
    """Where disputes go first: how far the answers so far disagree is how urgent the next one is."""
    if project.settings.route == "dispute" and task["overlap"] and task["answered"] >= 1:
        bodies = connection.execute(
            select(events.c.body)
            .join(assignments, assignments.c.event_id == events.c.id)
            .where(assignments.c.task_id == task["id"])
        ).scalars()
        urgency = max(task["urgency"], disagreement([vote_from(body, "") for body in bodies]))
        connection.execute(update(tasks).where(tasks.c.id == task["id"]).values(urgency=urgency))


def _last_done(
    connection: Connection, project_id: int, person_id: int
) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """The last answer or skip that still holds, with its assignment."""
    skipped = (
        (events.c.kind == "skip")
        & (assignments.c.state == "skipped")
        & (assignments.c.task_id == events.c.task_id)
        & (assignments.c.person_id == events.c.person_id)
    )
    last = one_row(
        connection,
        select(events)
        .join(assignments, (assignments.c.event_id == events.c.id) | skipped)
        .where(events.c.person_id == person_id, events.c.project_id == project_id)
        .where(events.c.kind.in_(("answer", "skip")))
        .order_by(events.c.id.desc())
        .limit(1),
    )
    return None if last is None else (last, assignment_of(connection, last["task_id"], person_id))


def _claim(connection: Connection, project: Project, row: Mapping[str, Any]) -> Claim:
    """A leased task as it is shown from now on; that its suggestion is shown stays with the lease."""
    task = task_in(connection, row["task_id"])
    triage = project.settings.mode == "triage" and task["suggestion"] is not None
    if triage:
        own = assignments.c.task_id == task["id"], assignments.c.person_id == row["person_id"]
        connection.execute(update(assignments).where(*own).values(told=True))
    return Claim(
        task_id=task["id"],
        prompt=task["prompt"],
        responses=[task["responses"][number]["text"] for number in row["shown"]],
        training=task["purpose"] == "training",
        leased_until=row["leased_until"],
        draft=row["draft"],
        suggestion=as_shown(task["suggestion"], row["shown"]) if triage else None,
    )


def _receipt(
    task: Mapping[str, Any], event_id: int, shown: list[int], vote: Mapping[str, Any], *, repeated: bool = False
) -> Receipt:
    suggestion = as_shown(task["suggestion"], shown) if task["suggestion"] else None
    if task["purpose"] != "training":
        return Receipt(event_id, repeated, suggestion=suggestion)
    expected = as_shown(task["gold"], shown)
    return Receipt(event_id, repeated, is_right(vote, task["gold"]), expected, task["explanation"], suggestion)


def _repeated(connection: Connection, known: Mapping[str, Any], task_id: int, answer: Answer) -> Receipt:
    same = known["task_id"] == task_id and known["kind"] in ("answer", "late_answer")
    if not same or canonical_json(known["body"]["sent"]) != canonical_json(_without_comment(answer)):
        raise RefusedError("key_used", "this answer key was sent before, with another answer. Draw a new key.")
    if known["kind"] == "late_answer":
        raise _lost("expired")
    task = task_in(connection, task_id)
    return _receipt(task, known["id"], known["body"]["shown"], known["body"]["vote"], repeated=True)


def _without_comment(answer: Answer) -> dict[str, Any]:
    """A comment is a private detail, which may have to be deleted; the rest of an answer stays for ever."""
    return {key: value for key, value in answer.items() if key != "comment"}


def _lost(state: str) -> RefusedError:
    if state == "answered":
        return RefusedError("lease_lost", "you have answered this task already; take the answer back to change it.")
    return RefusedError("lease_lost", "the lease of this task has run out, and its place has gone to others.")
