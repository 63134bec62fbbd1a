"""The application that both faces are built in: pages, static files, limits and headers, in one order."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Depends, FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from boresight.web.access import Door
from boresight.web.csrf import csrf_guard, csrf_token
from boresight.web.faults import OwnFaults, install_fault_pages
from boresight.web.link_token import Link, LinkToken
from boresight.web.pages import STATIC, Pages
from boresight.web.security import MOST_BODY_BYTES, BodyLimit, SecurityHeaders
from boresight.web.sessions import SessionMiddleware

LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
"""Names under which a server bound to loopback is asked. Any other name is a trick (DNS rebinding)."""


class StaticFolder(StaticFiles):
    """Files that browsers keep, and ask whether they are still the same."""

    def file_response(self, full_path: str | os.PathLike[str], *arguments: Any, **options: Any) -> Response:
        answer = super().file_response(full_path, *arguments, **options)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def build_shell(
    face: str,
    *,
    hosts: Sequence[str] = LOOPBACK,
    https: bool = False,
    most_body_bytes: int = MOST_BODY_BYTES,
    larger_bodies: Mapping[str, int] | None = None,
    door: Door | None = None,
    link: Link | None = None,
    always: Mapping[str, Any] | None = None,
) -> FastAPI:
    """An empty application with everything around its routes.

    `face`: its name in the head of each page. `hosts`: names under which it may be asked, ("*",) for any. `door`: who
    may come in, None for a face without accounts; `link`: what then opens it, None where all may look. `always`:
    further values for its templates. `larger_bodies`: bytes that a request may bring to a path, as in its route, beyond
    `most_body_bytes`.
    """
    guards = [Depends(csrf_guard)] if door is not None else []
    app = FastAPI(title=face, docs_url=None, redoc_url=None, openapi_url=None, dependencies=guards)
    app.state.door = door
    app.state.pages = Pages({"face": face, "csrf": csrf_token, **(always or {})})
    app.mount("/static", StaticFolder(directory=STATIC))
    install_fault_pages(app, login="/login" if door is not None else None)
    # The one added last is the first that a request meets.
    app.add_middleware(OwnFaults)
    if door is not None:
        app.add_middleware(SessionMiddleware, sessions=door.sessions)
    if link is not None:
        app.add_middleware(LinkToken, link=link)
    app.add_middleware(BodyLimit, most_bytes=most_body_bytes, larger=larger_bodies or {})
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(SecurityHeaders, https=https)
    return app
