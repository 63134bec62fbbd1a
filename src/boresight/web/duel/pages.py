"""The page of a duel, and the few requests of its script. The link that the server prints opens it."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from boresight.web.csrf import same_site_guard
from boresight.web.duel.stage import KEYS, NotNow, Stage
from boresight.web.link_token import Link
from boresight.web.pages import pages_of
from boresight.web.shell import LOOPBACK, build_shell

FACE = "side by side"
LONGEST_MESSAGE = 50_000
WORDS = (
    "much better", "clearly better", "slightly better", "about the same",
    "slightly better", "clearly better", "much better",
)  # fmt: skip


def _something(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text.strip()


def _known(key: str) -> str:
    if key not in KEYS:
        raise ValueError(f"expected one of {', '.join(filter(None, KEYS))} or nothing")
    return key


class MessageIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: Annotated[str, Field(max_length=LONGEST_MESSAGE), AfterValidator(_something)]


class VoteIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    key: Annotated[str, Field(max_length=1), AfterValidator(_known)]
    turn: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]


def build_duel(stage: Stage, link: Link, *, hosts: tuple[str, ...] = LOOPBACK) -> FastAPI:
    """The app of one comparison, opened by its link alone."""
    app = build_shell(FACE, hosts=hosts, link=link)
    app.state.stage = stage
    app.include_router(_routes())

    @app.exception_handler(NotNow)
    async def not_now(request: Request, error: NotNow) -> Response:
        return JSONResponse({"error": str(error)}, 409)

    return app


def stage_of(request: Request) -> Stage:
    stage = request.app.state.stage
    assert isinstance(stage, Stage)
    return stage


def _routes() -> APIRouter:
    router = APIRouter(dependencies=[Depends(same_site_guard)])

    @router.get("/")
    def page(request: Request) -> Response:
        return pages_of(request).show(request, "duel/page.html", words=WORDS, longest=LONGEST_MESSAGE)

    @router.get("/state")
    def state(request: Request) -> dict[str, Any]:
        return asdict(stage_of(request).view())

    @router.post("/ask")
    def ask(request: Request, sent: MessageIn) -> dict[str, Any]:
        stage_of(request).ask(sent.text)
        return state(request)

    @router.post("/vote")
    def vote(request: Request, sent: VoteIn) -> dict[str, Any]:
        try:
            stage_of(request).vote(sent.key, sent.turn)
        except OSError as error:
            raise HTTPException(503, f"The vote could not be written ({error.strerror}). Give it again.") from error
        return state(request)

    @router.post("/reset")
    def reset(request: Request) -> dict[str, Any]:
        stage_of(request).reset()
        return state(request)

    @router.post("/tally")
    def tally(request: Request) -> list[dict[str, Any]]:
        return [{"model": model, "wins": wins} for model, wins in stage_of(request).tally()]

    return router
