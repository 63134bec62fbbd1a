"""The annotation app: its routes in the shell of all our pages, on a store."""

from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from boresight.web.access import Door, TrustedProxy, log_event
from boresight.web.annotation.pages import admin, annotate, api, health, join, people_pages, review
from boresight.web.annotation.pages.accounts import AuditNotes, StoreAccounts
from boresight.web.annotation.pages.figures import FigureKeeper
from boresight.web.annotation.refused import Reason, RefusedError
from boresight.web.annotation.store import Store
from boresight.web.faults import fault, wants_page
from boresight.web.login import login_routes
from boresight.web.oidc import IdentityProvider, Provider
from boresight.web.oidc_login import PATH as OIDC
from boresight.web.oidc_login import oidc_routes
from boresight.web.passwords import Passwords
from boresight.web.sessions import Sessions
from boresight.web.shell import LOOPBACK, build_shell

FACE = "annotation"
MOST_UPLOAD_BYTES = 64 << 20
"""Of a file of tasks that an admin sends; larger ones go in by `boresight label import`."""

STATUS: dict[Reason, int] = {
    "bad_answer": 400,
    "bad_request": 400,
    "not_allowed": 403,
    "not_found": 404,
    "closed": 409,
    "key_used": 409,
    "lease_lost": 409,
    "not_qualified": 409,
    "nothing_to_undo": 409,
    "paused": 409,
}


def build_annotation(
    store: Store,
    secret: bytes,
    *,
    hosts: Sequence[str] = LOOPBACK,
    site: str | None = None,
    proxy: TrustedProxy | None = None,
    passwords: Passwords | None = None,
    oidc: Provider | None = None,
) -> FastAPI:
    """`secret` signs the sessions; see `sessions.secret_of`. `site`: the address that people open ("https://…"), where
    it is not the one that requests come under."""
    https = site is not None and site.startswith("https://")
    door = Door(
        accounts=StoreAccounts(store),
        sessions=Sessions(secret, https=https),
        passwords=passwords or Passwords(),
        proxy=proxy,
        note=AuditNotes(store, log_event),
    )
    app = build_shell(FACE, hosts=hosts, https=https, door=door, larger_bodies={admin.UPLOAD: MOST_UPLOAD_BYTES})
    app.state.pages.environment.filters["moment"] = _moment
    app.state.store = store
    app.state.site = site
    app.state.figures = FigureKeeper(store)
    app.include_router(login_routes(elsewhere=OIDC if oidc else ""), include_in_schema=False)
    if oidc is not None:
        app.include_router(oidc_routes(IdentityProvider(oidc), secret, site=site))
    for part in (annotate, join, review, admin, people_pages, api, health):
        app.include_router(part.router)

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        status = STATUS[error.reason]
        if wants_page(request):
            return fault(request, status, str(error))
        return JSONResponse({"error": str(error), "reason": error.reason}, status)

    return app


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
