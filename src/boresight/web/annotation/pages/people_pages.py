"""The admin's page about people: invites, roles, skills, new passwords, locking out and deleting."""

import secrets
from typing import Annotated, Literal

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from boresight.web.access import door_of
from boresight.web.annotation.erasure import erase_person
from boresight.web.annotation.pages.accounts import Admin, store_of
from boresight.web.annotation.pages.bodies import Id
from boresight.web.annotation.people import (
    ROLES,
    Role,
    all_people,
    change_person,
    make_invite,
    person_by_id,
    set_password_hash,
)
from boresight.web.annotation.refused import RefusedError
from boresight.web.pages import pages_of

router = APIRouter(include_in_schema=False, prefix="/admin/people")
DAY = 24 * 3600.0
RoleField = Annotated[Role, Form()]
Skills = Annotated[str, Form(max_length=1000)]


@router.get("")
def people(request: Request, me: Admin) -> Response:
    return _page(request, me)


@router.post("/invite")
def invite(
    request: Request,
    me: Admin,
    role: RoleField = "annotator",
    skills: Skills = "",
    days: Annotated[float, Form(gt=0, le=365, allow_inf_nan=False)] = 7,
) -> Response:
    code = make_invite(store_of(request), role, valid_seconds=days * DAY, skills=_skills(skills), by=me.person_id)
    site = (request.app.state.site or str(request.base_url)).rstrip("/")
    return _page(request, me, title=f"Send this link to one {role}; it works once", secret=f"{site}/join/{code}")


@router.post("/{person_id}/change")
def change(
    request: Request,
    person_id: Id,
    me: Admin,
    role: RoleField,
    active: Annotated[Literal["yes", "no"], Form()],
    skills: Skills = "",
) -> Response:
    change_person(
        store_of(request), person_id, by=me.person_id, role=role, active=active == "yes", skills=_skills(skills)
    )
    return RedirectResponse("/admin/people", 303)


@router.post("/{person_id}/password")
def new_password(request: Request, person_id: Id, me: Admin) -> Response:
    """A password drawn for somebody who has forgotten theirs; they change it on their own page."""
    store = store_of(request)
    person = person_by_id(store, person_id)
    password = secrets.token_urlsafe(12)
    set_password_hash(store, person_id, door_of(request).passwords.hashed(password), by=me.person_id)
    return _page(request, me, title=f"The new password of {person.name}, to be changed by its owner", secret=password)


@router.post("/{person_id}/erase")
def erase(request: Request, person_id: Id, me: Admin, name: Annotated[str, Form(max_length=200)]) -> Response:
    """The name has to be typed, since this cannot be undone."""
    store = store_of(request)
    person = person_by_id(store, person_id)
    if name.strip() != person.name:
        raise RefusedError("bad_request", f"to delete the data of {person.name}, type this name; nothing was deleted.")
    erase_person(store, person_id, by=me.person_id)
    return RedirectResponse("/admin/people", 303)


def _skills(text: str) -> list[str]:
    if not text.isprintable():
        raise RefusedError("bad_request", "skills are words of printable characters, separated by commas.")
    return text.split(",")


def _page(request: Request, me: Admin, *, title: str = "", secret: str = "") -> Response:
    return pages_of(request).show(
        request, "annotation/people.html", me=me, people=all_people(store_of(request)), roles=ROLES, title=title,
        secret=secret,
    )  # fmt: skip
