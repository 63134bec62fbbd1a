"""Refusals and faults as pages for people and as JSON for programs; never a traceback, which may tell too much."""

import logging
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boresight.errors import BoresightError
from boresight.web.access import door_of
from boresight.web.pages import pages_of

OWN_FAULT = "Something went wrong here, not with you. The server's log says what; nothing was changed by halves."


def install_fault_pages(app: FastAPI, login: str | None = None) -> None:
    """Handlers for refusals (HTTPException) and bad input.

    `login`: the page to which people are led who must log in first.
    """

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == 401 and login is not None and request.method == "GET" and wants_page(request):
            back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"{login}?next={quote(back)}", 303)
        if error.status_code == 413 and request.app.state.door is not None:
            door_of(request).refuse(request, 413, "oversized request", str(error.detail))
        return fault(request, error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def unreadable(request: Request, error: RequestValidationError) -> Response:
        where = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
        return fault(request, 422, f"This request cannot be read: {where}.")

    @app.exception_handler(BoresightError)
    async def bad_input(request: Request, error: BoresightError) -> Response:
        return fault(request, 400, str(error))


class OwnFaults:
    """The innermost middleware: our own mistakes become a page as well, and it carries the headers of every page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_seen(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_seen)
        except Exception as error:
            if scope["type"] != "http" or started:
                raise  # the answer is on its way: all that is left is to break it off
            request = Request(scope)
            log = logging.getLogger("boresight.web")
            log.error("%s %s failed", request.method, request.url.path, exc_info=error)
            await fault(request, 500, OWN_FAULT)(scope, receive, send)


def wants_page(request: Request) -> bool:
    """A browser that navigates; a script or a program asks for anything or for JSON."""
    return "text/html" in request.headers.get("accept", "")


def fault(request: Request, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """A fault as a page for people, and as JSON for programs."""
    if not wants_page(request):
        return JSONResponse({"error": message}, status, headers)
    title = HTTPStatus(status).phrase
    page = pages_of(request).show(request, "fault.html", status=status, code=status, title=title, message=message)
    page.headers.update(headers or {})
    return page
