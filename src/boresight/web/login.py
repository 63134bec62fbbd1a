"""Log in and out: the same answer for a wrong name and a wrong password, few tries, a new session each time."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from boresight.data.wording import counted
from boresight.web.access import Account, SecurityEvent, address_of, door_of, open_to_all
from boresight.web.pages import pages_of

WRONG = "Name or password is wrong."


def login_routes(home: str = "/", *, elsewhere: str = "") -> APIRouter:
    """GET and POST /login, POST /logout; `home` is where people land who were on their way nowhere. `elsewhere`: the
    path of another way in, beside the password."""
    router = APIRouter(dependencies=[Depends(open_to_all)])

    @router.get("/login")
    def form(request: Request, next: str = "") -> Response:
        return pages_of(request).show(request, "login.html", next=local_path(next), message="", elsewhere=elsewhere)

    @router.post("/login")
    def log_in(
        request: Request,
        name: Annotated[str, Form(max_length=200)],
        password: Annotated[str, Form()],
        next: Annotated[str, Form()] = "",
    ) -> Response:
        account = _known(request, name, password)
        if account is None:
            back = local_path(next)
            return pages_of(request).show(
                request, "login.html", status=403, next=back, message=WRONG, name=name, elsewhere=elsewhere
            )
        request.state.session = door_of(request).sessions.begin(account.name)
        return RedirectResponse(local_path(next) or home, 303)

    @router.post("/logout")
    def log_out(request: Request) -> Response:
        request.state.session = None
        return RedirectResponse("/login", 303)

    return router


def local_path(text: str) -> str:
    """A path of this site, or "": nobody is sent to another site after the login."""
    plain = text.startswith("/") and not text.startswith("//") and text.isprintable() and "\\" not in text
    return text if plain else ""


def _known(request: Request, name: str, password: str) -> Account | None:
    """The account whose password this is. Raises 429 after too many tries from one address or for one name."""
    door = door_of(request)
    address = str(address_of(request))
    limits = ((door.login_limit, name.lower()), (door.address_limit, address))
    wait = max(limit.take(key) for limit, key in limits)
    if wait:
        door.note(SecurityEvent("too many logins", name, address, request.url.path))
        seconds = int(wait) + 1
        raise HTTPException(429, f"Too many tries. Wait {counted(seconds, 'second')}.", {"Retry-After": str(seconds)})
    account = door.accounts.by_name(name)
    right = door.passwords.match(account.password_hash if account else None, password)
    if right:
        for limit, key in limits:
            limit.give_back(key)
    door.note(SecurityEvent("login" if right else "wrong password", name, address, request.url.path))
    return account if right else None
