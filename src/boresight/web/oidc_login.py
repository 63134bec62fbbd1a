"""Log in at an identity provider: away with the browser, and back with a code. Who comes back must have an account.

A log-in under way is kept in a signed cookie of ten minutes that only these two paths are sent; it holds for one try.
"""

import secrets
from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Query
from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from boresight.data.wording import counted
from boresight.web.access import SecurityEvent, address_of, door_of, open_to_all
from boresight.web.login import local_path
from boresight.web.oidc import Attempt, IdentityProvider, NotIdentified

PATH = "/login/oidc"
BACK = f"{PATH}/callback"
TEN_MINUTES = 600
LONGEST = 4096
LATE = "This log-in took too long, or was begun in another browser. Begin again."


def oidc_routes(provider: IdentityProvider, secret: bytes, *, site: str | None, home: str = "/") -> APIRouter:
    """`secret` signs the cookie; `site` is the address that people open, where it is not that of the request."""
    router = APIRouter(dependencies=[Depends(open_to_all)], include_in_schema=False)
    signer = URLSafeTimedSerializer(secret, salt="boresight oidc")
    https = site is not None and urlsplit(site).scheme == "https"
    cookie = "__Secure-boresight_oidc" if https else "boresight_oidc"

    @router.get(PATH)
    def away(request: Request, next: Annotated[str, Query(max_length=LONGEST)] = "") -> Response:
        attempt = Attempt.begin(local_path(next))
        try:
            address = provider.address(attempt, _redirect(request, site))
        except NotIdentified as error:
            raise _refused(request, error, 502) from error
        answer = RedirectResponse(address, 303)
        kept = signer.dumps(asdict(attempt))
        assert isinstance(kept, str)
        answer.set_cookie(cookie, kept, max_age=TEN_MINUTES, path=PATH, httponly=True, samesite="lax", secure=https)
        return answer

    @router.get(BACK)
    def back(
        request: Request,
        state: Annotated[str, Query(max_length=LONGEST)] = "",
        code: Annotated[str, Query(max_length=LONGEST)] = "",
    ) -> Response:
        door = door_of(request)
        try:
            attempt = Attempt(**signer.loads(request.cookies.get(cookie, ""), max_age=TEN_MINUTES))
        except (BadData, TypeError) as error:
            raise door.refuse(request, 403, "oidc: no attempt", LATE) from error
        if not secrets.compare_digest(attempt.state.encode(), state.encode()):
            raise door.refuse(request, 403, "oidc: another state", LATE)
        answer = RedirectResponse(attempt.next or home, 303)
        answer.delete_cookie(cookie, path=PATH, httponly=True, samesite="lax", secure=https)
        name = _identified(request, provider, code, attempt, site)
        account = door.accounts.by_name(name)
        if account is None:
            message = f"There is no account of the name {name}. Ask an admin for an invite, and join under that name."
            raise door.refuse(request, 403, "oidc: no account", message, name)
        request.state.session = door.sessions.begin(account.name)
        door.note(SecurityEvent("login", account.name, str(address_of(request)), BACK))
        return answer

    return router


def _identified(request: Request, provider: IdentityProvider, code: str, attempt: Attempt, site: str | None) -> str:
    """Who it is. Tries that come to nothing are limited by address, since each one asks the provider."""
    door = door_of(request)
    address = str(address_of(request))
    wait = door.address_limit.take(address)
    if wait:
        raise HTTPException(
            429, f"Too many tries. Wait {counted(int(wait) + 1, 'second')}.", {"Retry-After": str(int(wait) + 1)}
        )
    if not code:
        raise door.refuse(request, 403, "oidc: refused there", "The identity provider did not let you in.")
    try:
        name = provider.name_of(code, attempt, _redirect(request, site))
    except NotIdentified as error:
        raise _refused(request, error, 403) from error
    door.address_limit.give_back(address)
    return name


def _refused(request: Request, error: NotIdentified, status: int) -> HTTPException:
    return door_of(request).refuse(request, status, f"oidc: {error}"[:200], f"Logging in did not work: {error}.")


def _redirect(request: Request, site: str | None) -> str:
    return f"{(site or str(request.base_url)).rstrip('/')}{BACK}"
