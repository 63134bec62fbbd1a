"""The annotator's pages: projects, guidelines, and the task, whose parts the server sends as HTML.

A person has one task at a time, so that the next one cannot be had before the answer is in; the answer's reply brings
it along, which is as quick.
"""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from boresight.web.annotation.pages.accounts import Annotator, Member, store_of
from boresight.web.annotation.pages.bodies import AnswerIn, Id, SkipIn
from boresight.web.annotation.pages.safe_text import markdown
from boresight.web.annotation.pages.task_view import STEPS, own_progress, told_answer, view_of_claim
from boresight.web.annotation.projects import Project, all_projects, project_in
from boresight.web.annotation.queue import Claim, Receipt, claim, skip, submit, undo
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.store import Store
from boresight.web.pages import pages_of

router = APIRouter(include_in_schema=False)
WAITS = ("paused", "closed", "not_qualified")
"""Refusals that are a state of the project or the person, and no fault of the request."""


@router.get("/")
def home(request: Request, me: Annotator) -> Response:
    store = store_of(request)
    projects = [(project, own_progress(store, project.id, me.person_id)) for project in all_projects(store)]
    return pages_of(request).show(request, "annotation/home.html", me=me, projects=projects)


@router.get("/projects/{project_id}")
def guidelines(request: Request, project_id: Id, me: Annotator) -> Response:
    project = project_of(store_of(request), project_id)
    text = project.settings.guidelines
    progress = own_progress(store_of(request), project_id, me.person_id)
    return pages_of(request).show(
        request, "annotation/guidelines.html", me=me, project=project, html=markdown(text), raw=text, progress=progress
    )


@router.get("/label/{project_id}")
def label(request: Request, project_id: Id, me: Annotator) -> Response:
    project = project_of(store_of(request), project_id)
    return pages_of(request).show(request, "annotation/label.html", me=me, project=project)


@router.post("/label/{project_id}/next")
def next_part(request: Request, project_id: Id, me: Annotator) -> Response:
    return JSONResponse({"next": _next(request, project_id, me)})


@router.post("/label/{project_id}/{task_id}/answer")
def answer(request: Request, project_id: Id, task_id: Id, sent: AnswerIn, me: Annotator) -> Response:
    receipt = submit(store_of(request), task_id, me.person_id, sent.answer.plain(), key=sent.key)
    told = told_answer(receipt.suggestion) if receipt.suggestion else ""
    parts = {"feedback": _feedback(request, receipt), "next": _next(request, project_id, me), "suggestion": told}
    return JSONResponse(parts)


@router.post("/label/{project_id}/{task_id}/skip")
def skip_part(request: Request, project_id: Id, task_id: Id, sent: SkipIn, me: Annotator) -> Response:
    skip(store_of(request), task_id, me.person_id, reason=sent.reason)
    return JSONResponse({"next": _next(request, project_id, me)})


@router.post("/label/{project_id}/undo")
def undo_part(request: Request, project_id: Id, me: Annotator) -> Response:
    store = store_of(request)
    taken_back = undo(store, project_id, me.person_id)
    return JSONResponse({"next": _task(request, project_of(store, project_id), me, taken_back)})


def project_of(store: Store, project_id: int) -> Project:
    """The project of that id. Raises RefusedError where there is none."""
    with store.read() as connection:
        return project_in(connection, project_id)


def _next(request: Request, project_id: int, me: Member) -> str:
    """The part of the page with this person's task, or with why there is none."""
    store = store_of(request)
    project = project_of(store, project_id)
    try:
        held = claim(store, project_id, me.person_id)
    except RefusedError as error:
        if error.reason not in WAITS:
            raise
        return _part(request, "annotation/_waiting.html", project=project, reason=error.reason, message=str(error))
    if held is None:
        progress = own_progress(store, project_id, me.person_id)
        return _part(request, "annotation/_waiting.html", project=project, reason="none", message="", progress=progress)
    return _task(request, project, me, held)


def _task(request: Request, project: Project, me: Member, held: Claim) -> str:
    progress = own_progress(store_of(request), project.id, me.person_id)
    view = view_of_claim(held, project)
    return _part(
        request, "annotation/_task.html", task=view, project=project, progress=progress, steps=STEPS, review=None
    )


def _feedback(request: Request, receipt: Receipt) -> str:
    """What is told after an answer in training."""
    if receipt.expected is None:
        return ""
    return _part(
        request,
        "annotation/_feedback.html",
        right=receipt.right,
        expected=told_answer(receipt.expected),
        explanation=receipt.explanation and markdown(receipt.explanation),
    )


def _part(request: Request, template: str, **values: Any) -> str:
    return pages_of(request).environment.get_template(template).render(request=request, **values)
