"""Sessions in a signed cookie: who is logged in since when, and the token that forms must bring back.

The cookie holds no secret and can be read by its owner, but not changed. Nothing is stored on the server, so a restart
logs nobody out; an account's `sessions_from` (see `access`) ends all sessions that began before it.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itsdangerous import BadData, URLSafeSerializer
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boresight.errors import ServiceError

TWELVE_HOURS = 12 * 3600
KEY_BYTES = 32

CLOCK_SLACK = 60.0
"""Seconds by which the clock may have been set back since a session began."""


@dataclass(frozen=True, slots=True)
class Session:
    """`since` is in seconds of the epoch; `user` is None before a login; `csrf` is the token of its forms."""

    id: str
    user: str | None
    csrf: str
    since: float


class Sessions:
    """Begins sessions, and writes and reads their cookie."""

    def __init__(
        self,
        secret: bytes,
        *,
        https: bool = False,
        seconds: float = TWELVE_HOURS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._signer = URLSafeSerializer(
            secret, salt="boresight session", signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        )
        self._https, self._seconds, self._clock = https, seconds, clock
        self.cookie = "__Host-boresight" if https else "boresight"  # the prefix: no subdomain can plant the cookie

    def begin(self, user: str | None = None) -> Session:
        """A new session with a new id and token; at a login it takes the place of the one before."""
        return Session(secrets.token_urlsafe(16), user, secrets.token_urlsafe(32), self._clock())

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; None where it is not ours, was changed or is too old."""
        try:
            content: Any = self._signer.loads(cookie)
            session = Session(content["id"], content["user"], content["csrf"], float(content["since"]))
        except (BadData, KeyError, TypeError, ValueError):
            return None
        return session if -CLOCK_SLACK <= self._clock() - session.since <= self._seconds else None

    def cookie_header(self, session: Session | None) -> str:
        """The Set-Cookie header of a session; for None, the one that removes the cookie."""
        answer = Response()
        options: dict[str, Any] = {"secure": self._https, "httponly": True, "samesite": "lax", "path": "/"}
        if session is None:
            answer.delete_cookie(self.cookie, **options)
        else:
            content = {"id": session.id, "user": session.user, "csrf": session.csrf, "since": session.since}
            value = self._signer.dumps(content)
            assert isinstance(value, str)
            answer.set_cookie(self.cookie, value, max_age=int(self._seconds), **options)
        return answer.headers["set-cookie"]


class SessionMiddleware:
    """Puts the session of a request into `request.state.session` (None without one), and writes the cookie where a
    route has put another there."""

    def __init__(self, app: ASGIApp, *, sessions: Sessions) -> None:
        self.app, self._sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        cookie = HTTPConnection(scope).cookies.get(self._sessions.cookie)
        state = scope.setdefault("state", {})
        found = state["session"] = self._sessions.read(cookie) if cookie else None

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and state["session"] is not found:
                MutableHeaders(scope=message).append("Set-Cookie", self._sessions.cookie_header(state["session"]))
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def secret_of(path: Path) -> bytes:
    """The key that cookies are signed with: 32 random bytes in a file that only its owner reads, made at first use.

    Two servers that start at once agree on one key. Raises OSError where the file can be neither made nor read, and
    ServiceError where it holds fewer than 32 bytes: what an empty file signs, anybody can sign.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(secrets.token_bytes(KEY_BYTES))
                stream.flush()
                os.fsync(stream.fileno())
            os.link(fresh, path)  # fails where another server was quicker: its key counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink(missing_ok=True)
    key = path.read_bytes()
    if len(key) < KEY_BYTES:
        raise ServiceError(
            f"{path}: holds {len(key)} bytes; expected {KEY_BYTES} random ones at least, since it signs the sessions. "
            "Remove the file to have it made anew, or put a longer key there (openssl rand -hex 32)."
        )
    return key
