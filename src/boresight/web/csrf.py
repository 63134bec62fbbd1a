"""No request that changes something is taken from another site: a token of the session, and the Origin header.

The token travels in the form field `csrf_token` or, from scripts, in the header `X-CSRF-Token`. A request with an API
token needs none, since no browser sends that by itself.
"""

import secrets
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from boresight.web.access import bearer_of, door_of
from boresight.web.sessions import Session

SAFE = ("GET", "HEAD", "OPTIONS")
HEADER, FIELD = "X-CSRF-Token", "csrf_token"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def csrf_token(request: Request) -> str:
    """The token for the forms of a page; begins a session where there is none."""
    session: Session | None = request.state.session
    if session is None:
        session = request.state.session = door_of(request).sessions.begin()
    return session.csrf


async def csrf_guard(request: Request) -> None:
    """A dependency of the whole app: refuses (403) what does not come from a page of ours."""
    if request.method in SAFE or bearer_of(request) is not None:
        return
    door = door_of(request)
    if _foreign(request):
        raise door.refuse(request, 403, "request of another site", "This request comes from another site.")
    session: Session | None = request.state.session
    given = await _given(request)
    if session is None or not secrets.compare_digest(given.encode(), session.csrf.encode()):
        message = "The page was open for too long, or in another session. Load it again and repeat what you did."
        raise door.refuse(request, 403, "wrong CSRF token", message, (session.user or "") if session else "")


async def same_site_guard(request: Request) -> None:
    """A dependency of a face without accounts, whose cookie other sites cannot bring: refuses (403) what a browser says
    to come from one all the same."""
    if request.method not in SAFE and _foreign(request):
        raise HTTPException(403, "This request comes from another site.")


def _foreign(request: Request) -> bool:
    """By what browsers say of themselves; programs that say nothing still need the token."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


async def _given(request: Request) -> str:
    given: object = request.headers.get(HEADER)
    if given is None and request.headers.get("content-type", "").startswith(FORMS):
        given = (await request.form()).get(FIELD)  # kept by the request: the route reads the same form
    return given if isinstance(given, str) else ""
