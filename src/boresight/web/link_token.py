"""A face without accounts that others can reach is opened by its link: a token in it, and from then on a cookie."""

import secrets
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from boresight.web.faults import fault

FIELD = "token"
MESSAGE = "Open the link that the server printed when it was started: it holds the token that lets you in."


class Link(NamedTuple):
    """What the link holds, and the name of the cookie that remembers it."""

    token: str
    cookie: str


class LinkToken:
    """Lets in who brings the token, by cookie or in the address; from the address it moves into the cookie at once, so
    that it stays out of the history and of what people copy. Static files are no secret."""

    def __init__(self, app: ASGIApp, *, link: Link) -> None:
        self.app, self._token, self._cookie = app, link.token, link.cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/static/"):
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        if self._right(request.query_params.get(FIELD)):
            await self._remember(request)(scope, receive, send)
        elif self._right(request.cookies.get(self._cookie)):
            await self.app(scope, receive, send)
        else:
            await fault(request, 401, MESSAGE)(scope, receive, send)

    def _right(self, given: str | None) -> bool:
        return given is not None and secrets.compare_digest(given.encode(), self._token.encode())

    def _remember(self, request: Request) -> RedirectResponse:
        others = [(name, value) for name, value in parse_qsl(request.url.query) if name != FIELD]
        answer = RedirectResponse(request.url.path + (f"?{urlencode(others)}" if others else ""), 303)
        https = request.url.scheme == "https"
        answer.set_cookie(self._cookie, self._token, secure=https, httponly=True, samesite="lax")
        return answer
