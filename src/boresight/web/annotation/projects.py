"""Projects and their tasks: made, paused, extended, and how far they are."""

import hashlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, case, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from boresight.data.wording import counted
from boresight.records import Messages
from boresight.web.annotation.events import append
from boresight.web.annotation.people import skills_text
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.schema import assignments, events, people, projects, tasks
from boresight.web.annotation.settings import Settings, settings_from, settings_json
from boresight.web.annotation.store import Store, insert_row, one_row

Purpose = Literal["label", "gold", "training"]
MOST_RESPONSES = 9


@dataclass(frozen=True, slots=True)
class Project:
    """A set of tasks with one way of labelling."""

    id: int
    name: str
    settings: Settings
    paused: bool
    skill_sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task to add. `responses` are {"text", "model"?, "id"?}; `gold` and `suggestion` as `answers.known_answer` makes
    them (a suggestion may have a "source" besides). `urgency` (0..1) is what the project's route goes by."""

    key: str
    prompt: Messages
    responses: Sequence[Mapping[str, str]]
    purpose: Purpose = "label"
    gold: Mapping[str, Any] | None = None
    explanation: str = ""
    suggestion: Mapping[str, Any] | None = None
    skills: Sequence[str] = ()
    priority: int = 0
    urgency: float = 0.0
    overlap: int | None = None  # of this task alone; by default the project's
    meta: Mapping[str, Any] = field(default_factory=dict)


def make_project(store: Store, name: str, settings: Settings | None = None, *, by: int | None = None) -> Project:
    """Raises RefusedError where there is one of the name."""
    settings = settings or Settings()
    values = {"settings": settings_json(settings), "paused": False, "skill_sets": [], "created_at": store.clock()}
    try:
        with store.write() as connection:
            project_id = insert_row(connection, projects, {"name": name, **values})
            append(connection, "project_made", at=store.clock(), person_id=by, project_id=project_id)
    except IntegrityError as error:
        raise RefusedError("bad_request", f"project {name!r}: there is one of this name. Choose another.") from error
    return Project(project_id, name, settings, False)


def all_projects(store: Store) -> list[Project]:
    """All projects, the oldest first."""
    with store.read() as connection:
        return [_project(row) for row in connection.execute(select(projects).order_by(projects.c.id)).mappings()]


def project_named(store: Store, name: str) -> Project | None:
    """The project of that name, or None."""
    return next((project for project in all_projects(store) if project.name == name), None)


def project_in(connection: Connection, project_id: int, *, lock: bool = False) -> Project:
    """The project; with `lock`, others that would change it wait from here on."""
    query = select(projects).where(projects.c.id == project_id)
    row = one_row(connection, query.with_for_update(key_share=True) if lock else query)
    if row is None:
        raise RefusedError("not_found", f"there is no project {project_id}.")
    return _project(row)


def change_settings(store: Store, project_id: int, *, by: int | None = None, **changes: Any) -> Project:
    """Change settings by name; what was drawn and answered before stays. Overlap holds for tasks added from now on."""
    with store.write() as connection:
        project = project_in(connection, project_id, lock=True)
        settings = settings_from({**settings_json(project.settings), **changes})
        values = settings_json(settings)
        connection.execute(update(projects).where(projects.c.id == project_id).values(settings=values))
        changed = {name: values[name] for name in changes}
        append(connection, "project_changed", at=store.clock(), person_id=by, project_id=project_id, body=changed)
        return project_in(connection, project_id)


def pause(store: Store, project_id: int, *, paused: bool = True, by: int | None = None) -> None:
    """Give out no more tasks, or go on. What people are at can still be sent."""
    with store.write() as connection:
        project_in(connection, project_id)
        connection.execute(update(projects).where(projects.c.id == project_id).values(paused=paused))
        kind: Literal["project_paused", "project_resumed"] = "project_paused" if paused else "project_resumed"
        append(connection, kind, at=store.clock(), person_id=by, project_id=project_id)


def add_tasks(store: Store, project_id: int, new: Sequence[NewTask], *, by: int | None = None) -> int:
    """Add tasks, all or none; those of a key that is there already are left as they are. How many were added.

    Raises RefusedError for a task that cannot be labelled.
    """
    for task in new:
        _check(task)
    with store.write() as connection:
        project = project_in(connection, project_id, lock=True)
        known = set(connection.execute(select(tasks.c.key).where(tasks.c.project_id == project_id)).scalars())
        first = connection.execute(select(func.max(tasks.c.position)).where(tasks.c.project_id == project_id)).scalar()
        fresh = {task.key: task for task in new if task.key not in known}
        start = 0 if first is None else first + 1
        rows = [_row(project, task, start + place) for place, task in enumerate(fresh.values())]
        if rows:
            connection.execute(insert(tasks), rows)
            skill_sets = sorted({*project.skill_sets, *(row["skills"] for row in rows)})
            connection.execute(update(projects).where(projects.c.id == project_id).values(skill_sets=skill_sets))
        append(
            connection, "tasks_added", at=store.clock(), person_id=by, project_id=project_id, body={"tasks": len(rows)}
        )
    return len(rows)


def other_content(store: Store, project_id: int, new: Sequence[NewTask]) -> int:
    """How many of these tasks are there under their key with another prompt or other responses, which stand."""
    given = {task.key: _content(_messages(task.prompt), task.responses) for task in new}
    query = select(tasks.c.key, tasks.c.prompt, tasks.c.responses).where(tasks.c.project_id == project_id)
    with store.read() as connection:
        return sum(
            row.key in given and given[row.key] != _content(row.prompt, row.responses)
            for row in connection.execute(query)
        )


def progress(store: Store, project_id: int) -> dict[str, Any]:
    """Tasks and answers done and wanted, and for each person answers, skips, median seconds, and gold and training
    answers that were right."""
    with store.read() as connection:
        labels = tasks.c.project_id == project_id, tasks.c.purpose == "label"
        total = connection.execute(
            select(
                func.count(),
                func.coalesce(func.sum(tasks.c.overlap), 0),
                func.coalesce(func.sum(tasks.c.answered), 0),
                func.coalesce(func.sum(case((tasks.c.answered >= tasks.c.overlap, 1), else_=0)), 0),
            ).where(*labels)
        ).one()
        rows = connection.execute(
            select(
                people.c.id,
                people.c.name,
                assignments.c.state,
                assignments.c.purpose,
                assignments.c.right,
                events.c.body,
            )
            .join(assignments, assignments.c.person_id == people.c.id)
            .outerjoin(events, events.c.id == assignments.c.event_id)
            .where(assignments.c.project_id == project_id)
            .order_by(people.c.id)
        ).all()
    by_person: dict[int, list[Any]] = {}
    for row in rows:
        by_person.setdefault(row.id, []).append(row)
    done = {"tasks": total[0], "answers_wanted": int(total[1]), "answers": int(total[2]), "tasks_done": int(total[3])}
    return {**done, "people": [_person_progress(own) for own in by_person.values()]}


def _person_progress(rows: Sequence[Any]) -> dict[str, Any]:
    answered = [row for row in rows if row.state == "answered"]
    seconds = [row.body["vote"]["seconds"] for row in answered]
    known = {purpose: [row.right for row in answered if row.purpose == purpose] for purpose in ("gold", "training")}
    return {
        "person_id": rows[0].id,
        "name": rows[0].name,
        "answers": sum(row.purpose == "label" for row in answered),
        "skipped": sum(row.state == "skipped" for row in rows),
        "median_seconds": statistics.median(seconds) if seconds else None,
        **{purpose: {"right": sum(map(bool, right)), "of": len(right)} for purpose, right in known.items()},
    }


def _check(task: NewTask) -> None:
    texts = [response.get("text") for response in task.responses]
    where = f"task {task.key!r}"
    if not 2 <= len(texts) <= MOST_RESPONSES:
        raise RefusedError(
            "bad_request",
            f"{where}: {counted(len(texts), 'response')}; expected 2 to {MOST_RESPONSES}. Correct the task, or leave "
            "it out.",
        )
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise RefusedError("bad_request", f"{where}: a response is empty; expected text. Leave the task out.")
    if len(set(texts)) < len(texts):
        raise RefusedError(
            "bad_request",
            f"{where}: two responses are the same text; people need different ones. Correct the task, or leave it out.",
        )
    if not task.prompt or task.prompt[-1].role == "assistant":
        raise RefusedError(
            "bad_request",
            f"{where}: the prompt ends with no message that the responses could answer."
            " Correct the task, or leave it out.",
        )
    if (task.purpose != "label") != (task.gold is not None):
        raise RefusedError(
            "bad_request",
            f"{where}: tasks of the purposes gold and training, and no others, have gold."
            " Correct its purpose, or take the gold out.",
        )
    if not 0.0 <= task.urgency <= 1.0 or (task.overlap is not None and task.overlap < 1):
        raise RefusedError(
            "bad_request", f"{where}: expected urgency from 0 to 1 and overlap of at least 1. Correct the task."
        )


def _row(project: Project, task: NewTask, position: int) -> dict[str, Any]:
    return {
        "project_id": project.id,
        "key": task.key,
        "position": position,
        "purpose": task.purpose,
        "prompt": _messages(task.prompt),
        "responses": [dict(response) for response in task.responses],
        "gold": task.gold and dict(task.gold),
        "explanation": task.explanation,
        "suggestion": task.suggestion and dict(task.suggestion),
        "skills": skills_text(task.skills),
        "priority": task.priority,
        "urgency": task.urgency,
        "overlap": None if task.purpose != "label" else task.overlap or _overlap(project.settings, task.key),
        "taken": 0,
        "answered": 0,
        "open": True,
        "meta": dict(task.meta),
    }


def _messages(prompt: Messages) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in prompt]


def _content(prompt: Any, responses: Sequence[Mapping[str, str]]) -> tuple[Any, list[str]]:
    """What people see of a task, in whatever order they see the responses."""
    return prompt, sorted(response["text"] for response in responses)


def _overlap(settings: Settings, key: str) -> int:
    """The project's overlap, and one more for the share of tasks that the seed draws."""
    drawn = hashlib.sha256(f"{settings.seed}\0overlap\0{key}".encode()).digest()
    return settings.overlap + (int.from_bytes(drawn[:8]) < settings.more_share * 2**64)


def _project(row: Any) -> Project:
    return Project(row["id"], row["name"], settings_from(row["settings"]), row["paused"], tuple(row["skill_sets"]))
