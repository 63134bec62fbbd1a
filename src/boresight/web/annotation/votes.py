"""All votes that count, by task: what quality is measured on and labels are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from boresight.data.jsonl import messages_from
from boresight.feedback.human_labels import LabelledTask, Vote
from boresight.web.annotation.answers import vote_from
from boresight.web.annotation.projects import project_in
from boresight.web.annotation.schema import assignments, events, people, private_details, tasks
from boresight.web.annotation.store import Store


@dataclass(frozen=True, slots=True)
class VotedTask:
    """A task with its votes; `complete` where no more are wanted."""

    task_id: int
    complete: bool
    labelled: LabelledTask


def voted_tasks(store: Store, project_id: int, *, names: bool = False, task_id: int | None = None) -> list[VotedTask]:
    """The project's tasks in their order, those without a vote too, without gold and training; or one of them. People
    are told by number (`person-3`), or by name."""
    with store.read() as connection:
        project = project_in(connection, project_id)
        known = _annotators(connection, names)
        by_mode = project.settings.mode == "triage"
        votes, suggested = _votes(connection, project_id, known, task_id, by_mode)
        decisions = _decisions(connection, project_id, known)
        work = tasks.c.project_id == project_id, tasks.c.purpose == "label"
        query = select(tasks).where(*work).order_by(tasks.c.position)
        query = query if task_id is None else query.where(tasks.c.id == task_id)
        rows = [dict(row) for row in connection.execute(query).mappings()]
    unvoted = [by_mode]
    return [
        _voted(row, votes.get(row["id"], []), decisions.get(row["adjudication_id"]), suggested.get(row["id"], unvoted))
        for row in rows
    ]


def annotator_id(person_id: int) -> str:
    """How a person is called where names are not told."""
    return f"person-{person_id}"


def _annotators(connection: Connection, names: bool) -> dict[int, str]:
    rows = connection.execute(select(people.c.id, people.c.name))
    return {row.id: row.name if names else annotator_id(row.id) for row in rows}


def _votes(
    connection: Connection, project_id: int, known: Mapping[int, str], task_id: int | None, by_mode: bool
) -> tuple[dict[int, list[Vote]], dict[int, list[bool]]]:
    """Votes of each task, in the order in which they came, and of each whether its annotator knew what an AI had
    answered; votes of earlier versions, which do not say so, are taken as `by_mode`."""
    query = (
        select(events.c.task_id, events.c.person_id, events.c.body, private_details.c.body.label("private"))
        .join(assignments, assignments.c.event_id == events.c.id)
        .outerjoin(private_details, private_details.c.event_id == events.c.id)
        .where(assignments.c.project_id == project_id)
        .order_by(events.c.id)
    )
    if task_id is not None:
        query = query.where(assignments.c.task_id == task_id)
    votes: dict[int, list[Vote]] = {}
    suggested: dict[int, list[bool]] = {}
    for row in connection.execute(query):
        comment = (row.private or {}).get("comment", "")
        votes.setdefault(row.task_id, []).append(vote_from(row.body, known[row.person_id], comment))
        suggested.setdefault(row.task_id, []).append(row.body.get("suggested", by_mode))
    return votes, suggested


def _decisions(connection: Connection, project_id: int, known: Mapping[int, str]) -> dict[int, Vote]:
    """Reviewers' decisions by the ids of their events; of a task the last one is told by its `adjudication_id`."""
    query = (
        select(events.c.id, events.c.person_id, events.c.body, private_details.c.body.label("private"))
        .outerjoin(private_details, private_details.c.event_id == events.c.id)
        .where(events.c.project_id == project_id, events.c.kind == "adjudication")
    )
    return {
        row.id: vote_from(row.body, known[row.person_id], (row.private or {}).get("comment", ""))
        for row in connection.execute(query)
    }


def _voted(row: Mapping[str, Any], votes: list[Vote], final: Vote | None, suggested: list[bool]) -> VotedTask:
    labelled = LabelledTask(
        id=row["key"],
        prompt=messages_from(row["prompt"], f"task {row['key']}"),
        responses=tuple(response["text"] for response in row["responses"]),
        votes=tuple(votes),
        models=tuple(response.get("model", "") for response in row["responses"]),
        final=final,
        source="hybrid" if any(suggested) and row["suggestion"] else "human",
        kind=row["meta"].get("kind", ""),
        meta={key: value for key, value in row["meta"].items() if key != "kind"},
    )
    return VotedTask(row["id"], row["answered"] >= row["overlap"], labelled)
