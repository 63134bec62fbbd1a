"""What every answer of a web face carries, and what no request may exceed: content policy, headers, size of the body.

The content policy knows no `unsafe-inline`: scripts and styles come from files of our own, and what a model wrote can
neither run nor load anything. Middleware is plain ASGI, so that it also covers error pages and static files.
"""

import re
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": under it forms come with "Origin: null", and the check of the origin needs the true one.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "no-store",
}
"""Set on each answer that does not set them itself; static files bring their own Cache-Control."""

ONE_YEAR = 365 * 24 * 3600

MOST_BODY_BYTES = 1 << 20


class SecurityHeaders:
    """Adds `HEADERS` to every answer; over https also the promise to stay with https."""

    def __init__(self, app: ASGIApp, *, https: bool = False) -> None:
        self.app = app
        self._headers = HEADERS | ({"Strict-Transport-Security": f"max-age={ONE_YEAR}"} if https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class BodyLimit:
    """Refuses (413) a request whose body is longer than `most_bytes`, by what it declares or by what arrives; `larger`
    has other bounds of some paths, as they stand in their routes ("/projects/{id}/tasks").

    The refusal is raised where the body is read, so that it becomes an error page as any other; what was read until
    then is at most the limit and one piece.
    """

    def __init__(
        self, app: ASGIApp, *, most_bytes: int = MOST_BODY_BYTES, larger: Mapping[str, int] | None = None
    ) -> None:
        self.app, self._most = app, most_bytes
        self._larger = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), most) for path, most in (larger or {}).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        most = next((most for path, most in self._larger if path.fullmatch(scope["path"])), self._most)
        received = 0

        async def receive_up_to_the_limit() -> Message:
            nonlocal received
            if declared.isdigit() and int(declared) > most:
                raise _too_large(most)
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > most:
                    raise _too_large(most)
            return message

        await self.app(scope, receive_up_to_the_limit, send)


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"The request is larger than {most:,} bytes, the most that is taken here.")
