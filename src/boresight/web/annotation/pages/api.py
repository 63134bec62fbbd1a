"""The JSON interface for programs, under /api: the same work as the pages, by API token. Its schema is at
/api/openapi.json."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel, JsonValue
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from boresight.web.annotation.adjudication import adjudicate
from boresight.web.annotation.pages.accounts import Admin, Annotator, Reviewer, store_of
from boresight.web.annotation.pages.annotate import project_of
from boresight.web.annotation.pages.bodies import AnswerIn, DraftIn, Id, SkipIn
from boresight.web.annotation.pages.uploads import Wanted, exported_file, tasks_of_rows
from boresight.web.annotation.projects import add_tasks, all_projects, other_content, progress
from boresight.web.annotation.queue import Claim, claim, save_draft, skip, submit, undo
from boresight.web.annotation.settings import settings_json


class Refusal(BaseModel):
    """Why nothing was done: a sentence for people, and for programs a word where there is one."""

    error: str
    reason: str | None = None


class Me(BaseModel):
    person: int
    name: str
    role: str


class ProjectOut(BaseModel):
    id: int
    name: str
    paused: bool
    settings: dict[str, Any]


class ClaimOut(BaseModel):
    """`task` is null where there is nothing (left, or now) for this person."""

    task: dict[str, Any] | None


class ReceiptOut(BaseModel):
    event_id: int
    repeated: bool
    right: bool | None
    expected: dict[str, Any] | None
    explanation: str
    suggestion: dict[str, Any] | None


class LeaseOut(BaseModel):
    leased_until: float


class Added(BaseModel):
    """`other_content`: tasks whose ids are there with another prompt or other responses, which stand."""

    read: int
    added: int
    other_content: int


class Decided(BaseModel):
    event_id: int


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal} for status in (400, 401, 403, 404, 409, 413, 422, 429)
}
Rows = Annotated[list[dict[str, JsonValue]], Body(min_length=1, max_length=10_000)]
router = APIRouter(prefix="/api", responses=REFUSALS)


@router.get("/openapi.json", include_in_schema=False)
def schema(request: Request, me: Annotator) -> Response:
    return JSONResponse(request.app.openapi())


@router.get("/me")
def who(me: Annotator) -> Me:
    return Me(person=me.person_id, name=me.name, role=me.role.name.lower())


@router.get("/projects")
def projects(request: Request, me: Annotator) -> list[ProjectOut]:
    return [
        ProjectOut(id=one.id, name=one.name, paused=one.paused, settings=settings_json(one.settings))
        for one in all_projects(store_of(request))
    ]


@router.post("/projects/{project_id}/next")
def next_task(request: Request, project_id: Id, me: Annotator) -> ClaimOut:
    """The task that you are at, or the next one."""
    held = claim(store_of(request), project_id, me.person_id)
    return ClaimOut(task=None if held is None else asdict(held))


@router.post("/projects/{project_id}/undo")
def take_back(request: Request, project_id: Id, me: Annotator) -> ClaimOut:
    """Take back your last answer or skip, and be at that task again."""
    held: Claim = undo(store_of(request), project_id, me.person_id)
    return ClaimOut(task=asdict(held))


@router.post("/tasks/{task_id}/answer")
def answer(request: Request, task_id: Id, sent: AnswerIn, me: Annotator) -> ReceiptOut:
    """Once this has come back, the answer is on the disk. 409 lease_lost: it is kept, and does not count."""
    receipt = submit(store_of(request), task_id, me.person_id, sent.answer.plain(), key=sent.key)
    return ReceiptOut(**asdict(receipt))


@router.post("/tasks/{task_id}/draft")
def draft(request: Request, task_id: Id, sent: DraftIn, me: Annotator) -> LeaseOut:
    """Keep an unfinished answer, and the task."""
    return LeaseOut(leased_until=save_draft(store_of(request), task_id, me.person_id, sent.answer.plain()))


@router.post("/tasks/{task_id}/skip", status_code=204)
def give_back(request: Request, task_id: Id, sent: SkipIn, me: Annotator) -> None:
    skip(store_of(request), task_id, me.person_id, reason=sent.reason)


@router.post("/tasks/{task_id}/decision")
def decision(request: Request, task_id: Id, sent: AnswerIn, me: Reviewer) -> Decided:
    """Decide a task; the places of the answer are those of the responses as listed."""
    return Decided(event_id=adjudicate(store_of(request), task_id, me.person_id, sent.answer.plain(), key=sent.key))


@router.get("/projects/{project_id}/progress")
def project_progress(request: Request, project_id: Id, me: Reviewer) -> dict[str, Any]:
    project_of(store_of(request), project_id)
    return progress(store_of(request), project_id)


@router.post("/projects/{project_id}/tasks")
def import_tasks(request: Request, project_id: Id, rows: Rows, me: Admin) -> Added:
    """Rows in any form that `label import` reads; those without an id are named by their content. Tasks whose ids are
    there already are left as they are."""
    store = store_of(request)
    tasks = tasks_of_rows(rows, seed=project_of(store, project_id).settings.seed)
    added = add_tasks(store, project_id, tasks, by=me.person_id)
    return Added(read=len(tasks), added=added, other_content=other_content(store, project_id, tasks))


@router.get("/projects/{project_id}/export", response_class=FileResponse)
def export(request: Request, project_id: Id, wanted: Wanted, me: Admin) -> FileResponse:
    return exported_file(store_of(request), project_id, wanted, by=me.person_id)
