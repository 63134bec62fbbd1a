"""The reviewer's pages: tasks whose votes disagree, and the live figures of quality."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from boresight.feedback.human_labels import Vote
from boresight.web.annotation.adjudication import adjudicate, disputes, votes_on
from boresight.web.annotation.pages.accounts import Reviewer, store_of
from boresight.web.annotation.pages.annotate import project_of
from boresight.web.annotation.pages.bodies import AnswerIn, Id
from boresight.web.annotation.pages.figures import FigureKeeper
from boresight.web.annotation.pages.task_view import STEPS, told_answer, view_of
from boresight.web.annotation.projects import all_projects
from boresight.web.pages import pages_of

router = APIRouter(include_in_schema=False)
MOST_LISTED = 100


@router.get("/review")
def overview(request: Request, me: Reviewer) -> Response:
    projects = all_projects(store_of(request))
    return pages_of(request).show(request, "annotation/review.html", me=me, projects=projects)


@router.get("/review/{project_id}")
def queue(request: Request, project_id: Id, me: Reviewer) -> Response:
    store = store_of(request)
    project = project_of(store, project_id)
    waiting = disputes(store, project_id)
    return pages_of(request).show(
        request, "annotation/disputes.html", me=me, project=project, count=len(waiting), disputes=waiting[:MOST_LISTED]
    )


@router.get("/review/{project_id}/next")
def next_dispute(request: Request, project_id: Id, me: Reviewer) -> Response:
    """The most disputed task, or the empty queue."""
    waiting = disputes(store_of(request), project_id)
    return RedirectResponse(f"/review/{project_id}/{waiting[0].task_id}" if waiting else f"/review/{project_id}", 303)


@router.get("/review/{project_id}/{task_id}")
def dispute(request: Request, project_id: Id, task_id: Id, me: Reviewer) -> Response:
    store = store_of(request)
    found = votes_on(store, project_id, task_id)
    votes = [{"who": vote.annotator, "said": told_vote(vote), "comment": vote.comment} for vote in found.votes]
    return pages_of(request).show(
        request, "annotation/dispute.html", me=me, project=project_of(store, project_id), steps=STEPS, progress=None,
        task=view_of(task_id, found.prompt, found.responses), review={"votes": votes}, key=found.key,
    )  # fmt: skip


@router.post("/review/{project_id}/{task_id}")
def decide(request: Request, project_id: Id, task_id: Id, sent: AnswerIn, me: Reviewer) -> Response:
    votes_on(store_of(request), project_id, task_id)
    adjudicate(store_of(request), task_id, me.person_id, sent.answer.plain(), key=sent.key)
    return JSONResponse({"next": f"/review/{project_id}/next"})


@router.get("/quality/{project_id}")
def quality_page(request: Request, project_id: Id, me: Reviewer) -> Response:
    project = project_of(store_of(request), project_id)
    return pages_of(request).show(
        request, "annotation/quality.html", me=me, project=project, **_shown(request, project_id)
    )


@router.get("/quality/{project_id}/figures")
def quality_part(request: Request, project_id: Id, me: Reviewer) -> Response:
    project_of(store_of(request), project_id)
    return pages_of(request).show(request, "annotation/_quality.html", me=me, **_shown(request, project_id))


def figures_kept(request: Request) -> FigureKeeper:
    keeper = request.app.state.figures
    assert isinstance(keeper, FigureKeeper)
    return keeper


def _shown(request: Request, project_id: int) -> dict[str, Any]:
    keeper = figures_kept(request)
    found, at_work = keeper.of(project_id)
    if found is None:
        keeper.wait(project_id, 0.5)  # small projects need no second look
        found, at_work = keeper.of(project_id)
    people = {} if found is None else {person["name"]: person for person in found.progress["people"]}
    age = None if found is None else max(0.0, store_of(request).clock() - found.at)
    return {"figures": found, "people": people, "at_work": at_work, "age": age}


def told_vote(vote: Vote) -> str:
    """A vote in words, by the responses as listed."""
    if vote.verdict == "cannot_judge":
        return "cannot judge"
    told = told_answer({"verdict": vote.verdict, "ranks": vote.ranks})
    if vote.strength:
        words = {abs(step): text for step, text in STEPS}[vote.strength]
        return told.replace("is better", f"is {words}")
    return told
