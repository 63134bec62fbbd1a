"""Joining by an invite link, and what people do with their own account: password and API tokens."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from boresight.data.wording import counted
from boresight.web.access import address_of, door_of, open_to_all
from boresight.web.annotation.pages.accounts import Annotator, Member, store_of
from boresight.web.annotation.people import (
    accept_invite,
    invited_role,
    make_token,
    revoke_tokens,
    set_password_hash,
)
from boresight.web.annotation.refused import RefusedError
from boresight.web.pages import pages_of
from boresight.web.passwords import LONGEST, SHORTEST

router = APIRouter(include_in_schema=False)
BAD_INVITE = "This invite is unknown, used or expired. Ask for a new one."
Password = Annotated[str, Form(min_length=1, max_length=LONGEST)]


@router.get("/join/{code}", dependencies=[Depends(open_to_all)])
def join_form(request: Request, code: str) -> Response:
    return _join_page(request, _role_of(request, code), "", "")


@router.post("/join/{code}", dependencies=[Depends(open_to_all)])
def join(request: Request, code: str, name: Annotated[str, Form(max_length=200)], password: Password) -> Response:
    role = _role_of(request, code)
    door = door_of(request)
    if len(password) < SHORTEST:
        return _join_page(request, role, name, f"A password has at least {SHORTEST} characters.")
    try:
        person = accept_invite(store_of(request), code, name, door.passwords.hashed(password))
    except RefusedError as error:
        return _join_page(request, role, name, str(error))
    request.state.session = door.sessions.begin(person.name)
    return RedirectResponse("/admin" if role == "admin" else "/", 303)


@router.get("/account")
def account(request: Request, me: Annotator) -> Response:
    return _account_page(request, me)


@router.post("/account/password")
def change_password(request: Request, me: Annotator, current: Password, new: Password) -> Response:
    """The sessions there are end, and this one begins anew."""
    door = door_of(request)
    wait = door.login_limit.take(me.name.lower())
    if wait:
        raise HTTPException(
            429, f"Too many tries. Wait {counted(int(wait) + 1, 'second')}.", {"Retry-After": str(int(wait) + 1)}
        )
    known = door.accounts.by_name(me.name)
    if known is None or not door.passwords.match(known.password_hash, current):
        door.refuse(request, 403, "wrong password", "", me.name)
        return _account_page(request, me, problem="The current password is wrong.", status=403)
    door.login_limit.give_back(me.name.lower())
    if len(new) < SHORTEST:
        return _account_page(request, me, problem=f"A password has at least {SHORTEST} characters.", status=400)
    set_password_hash(store_of(request), me.person_id, door.passwords.hashed(new), by=me.person_id)
    request.state.session = door.sessions.begin(me.name)
    return _account_page(request, me, done="The password is changed; you are logged out everywhere else.")


@router.post("/account/token")
def token(request: Request, me: Annotator) -> Response:
    return _account_page(request, me, secret=make_token(store_of(request), me.person_id, "api"))


@router.post("/account/revoke")
def revoke(request: Request, me: Annotator) -> Response:
    count = revoke_tokens(store_of(request), me.person_id, by=me.person_id)
    return _account_page(request, me, done=f"{counted(count, 'token')} revoked: useless from now on.")


def _role_of(request: Request, code: str) -> str:
    role = invited_role(store_of(request), code) if code.isascii() else None
    if role is None:
        door = door_of(request)
        wait = door.address_limit.take(str(address_of(request)))
        raise door.refuse(request, 429 if wait else 404, "wrong invite", BAD_INVITE)
    return role


def _join_page(request: Request, role: str, name: str, problem: str) -> Response:
    status = 400 if problem else 200
    return pages_of(request).show(
        request, "annotation/join.html", status=status, role=role, name=name, problem=problem, shortest=SHORTEST
    )


def _account_page(
    request: Request, me: Member, *, problem: str = "", done: str = "", secret: str = "", status: int = 200
) -> Response:
    return pages_of(request).show(
        request, "annotation/account.html", status=status, me=me, problem=problem, done=done, secret=secret,
        shortest=SHORTEST,
    )  # fmt: skip
