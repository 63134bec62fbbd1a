"""The admin's pages about projects: made, filled, paused, changed, exported; the audit log and the backup."""

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from boresight.web.annotation.events import audit_log
from boresight.web.annotation.pages.accounts import Admin, store_of
from boresight.web.annotation.pages.annotate import project_of
from boresight.web.annotation.pages.bodies import LARGEST_ID, Id
from boresight.web.annotation.pages.uploads import (
    ENDINGS,
    FORMS,
    Wanted,
    backup_file,
    exported_file,
    tasks_of_upload,
)
from boresight.web.annotation.projects import (
    add_tasks,
    all_projects,
    change_settings,
    make_project,
    other_content,
    pause,
    progress,
)
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.settings import (
    Mode,
    Route,
    Settings,
    criteria_of_lines,
    flags_of_lines,
    lines_of_criteria,
    parse_overlap,
)
from boresight.web.pages import pages_of

router = APIRouter(include_in_schema=False)
UPLOAD = "/admin/projects/{project_id}/tasks"
LINES = 100
LONGEST_GUIDELINES = 100_000


@router.get("/admin")
def overview(request: Request, me: Admin) -> Response:
    store = store_of(request)
    projects = [(project, progress(store, project.id)) for project in all_projects(store)]
    return pages_of(request).show(request, "annotation/admin.html", me=me, projects=projects)


@router.post("/admin/projects")
def new_project(
    request: Request,
    me: Admin,
    name: Annotated[str, Form(min_length=1, max_length=200)],
    overlap: Annotated[str, Form(max_length=20)] = "1",
    seed: Annotated[int, Form(ge=0, le=LARGEST_ID)] = 0,
) -> Response:
    if not name.isprintable():
        raise RefusedError("bad_request", "a project's name has printable characters only.")
    count, more = parse_overlap(overlap)
    project = make_project(
        store_of(request), name.strip(), Settings(overlap=count, more_share=more, seed=seed), by=me.person_id
    )
    return RedirectResponse(f"/admin/projects/{project.id}", 303)


@router.get("/admin/projects/{project_id}")
def project_page(request: Request, project_id: Id, me: Admin) -> Response:
    return _project_page(request, project_id, me)


@router.post("/admin/projects/{project_id}/settings")
def settings(
    request: Request,
    project_id: Id,
    me: Admin,
    guidelines: Annotated[str, Form(max_length=LONGEST_GUIDELINES)] = "",
    overlap: Annotated[str, Form(max_length=20)] = "1",
    mode: Annotated[Mode, Form()] = "blind",
    route: Annotated[Route, Form()] = "order",
    gold_every: Annotated[int, Form(ge=0, le=100_000)] = 0,
    training_share: Annotated[float, Form(ge=0, le=1, allow_inf_nan=False)] = 0.0,
    lease_minutes: Annotated[float, Form(ge=0.1, le=1440, allow_inf_nan=False)] = 15.0,
    deadline: Annotated[str, Form(max_length=40)] = "",
    criteria: Annotated[str, Form(max_length=LONGEST_GUIDELINES)] = "",
    flags: Annotated[str, Form(max_length=LONGEST_GUIDELINES)] = "",
) -> Response:
    count, more = parse_overlap(overlap)
    changes: dict[str, Any] = {
        "guidelines": guidelines.replace("\0", "").replace("\r\n", "\n"),
        "criteria": criteria_of_lines(criteria.replace("\0", "")),
        "flags": flags_of_lines(flags.replace("\0", "")),
        "overlap": count,
        "more_share": more,
        "mode": mode,
        "route": route,
        "gold_every": gold_every,
        "training_share": training_share,
        "lease_seconds": 60.0 * lease_minutes,
        "deadline": _moment(deadline),
    }
    change_settings(store_of(request), project_id, by=me.person_id, **changes)
    return RedirectResponse(f"/admin/projects/{project_id}", 303)


@router.post("/admin/projects/{project_id}/pause")
def pause_or_resume(
    request: Request, project_id: Id, me: Admin, paused: Annotated[Literal["yes", "no"], Form()]
) -> Response:
    pause(store_of(request), project_id, paused=paused == "yes", by=me.person_id)
    return RedirectResponse(f"/admin/projects/{project_id}", 303)


@router.post(UPLOAD)
def upload(
    request: Request, project_id: Id, me: Admin, file: UploadFile, pairs: Annotated[bool, Form()] = False
) -> Response:
    store = store_of(request)
    project = project_of(store, project_id)
    tasks = tasks_of_upload(file.file, file.filename or "", pairs_only=pairs, seed=project.settings.seed)
    added = add_tasks(store, project_id, tasks, by=me.person_id)
    done = f"{added:,} of {len(tasks):,} tasks are new and were added."
    if other := other_content(store, project_id, tasks):
        done += (
            f" {other:,} of the ids {'is' if other == 1 else 'are'} there with another prompt or other responses,"
            " which stand: give these rows other ids, or the file another name where they have none."
        )
    return _project_page(request, project_id, me, done=done)


@router.get("/admin/projects/{project_id}/export")
def export(request: Request, project_id: Id, wanted: Wanted, me: Admin) -> Response:
    return exported_file(store_of(request), project_id, wanted, by=me.person_id)


@router.get("/admin/log")
def log(
    request: Request,
    me: Admin,
    before: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
    person: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
) -> Response:
    lines = audit_log(store_of(request), person_id=person, before=before, limit=LINES)
    older = lines[-1]["id"] if len(lines) == LINES else None
    return pages_of(request).show(request, "annotation/log.html", me=me, lines=lines, older=older, person=person)


@router.post("/admin/backup")
def backup(request: Request, me: Admin) -> Response:
    return backup_file(store_of(request))


def _project_page(request: Request, project_id: int, me: Admin, *, done: str = "") -> Response:
    store = store_of(request)
    project = project_of(store, project_id)
    deadline = project.settings.deadline
    told = "" if deadline is None else datetime.fromtimestamp(deadline, UTC).strftime("%Y-%m-%dT%H:%M")
    return pages_of(request).show(
        request, "annotation/project.html", me=me, project=project, progress=progress(store, project_id),
        deadline=told, done=done, endings=ENDINGS, forms=FORMS, criteria=lines_of_criteria(project.settings),
    )  # fmt: skip


def _moment(text: str) -> float | None:
    """A time of a form (UTC) in seconds since 1970; None for none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError) as error:
        raise RefusedError("bad_request", f"deadline {text!r}: expected a time such as 2026-05-31T18:00.") from error
    return moment if math.isfinite(moment) else None
