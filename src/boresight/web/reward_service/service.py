"""The routes of the reward service; the contract is that of `boresight.feedback.score_client`.

POST /score    {"prompts": [[{"role", "content"}...]...], "responses": [text...]}
            -> 200 {"scores": [number...], "model_hash": text}    one score a response, in order
               400, 415, 422 not readable · 401 token · 413 too large    {"error": text}
               429 full · 503 no model yet                          the same, with Retry-After
GET  /health   200 while the process answers
GET  /ready    200 once the model is loaded, 503 before
GET  /metrics  for Prometheus
"""

import asyncio
import hmac
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

from boresight.data.wording import counted
from boresight.records import Message, Role
from boresight.web.reward_service.batching import Batcher, FullError
from boresight.web.reward_service.limits import Limits
from boresight.web.reward_service.metrics import MEDIA_TYPE, Metrics
from boresight.web.reward_service.model import Row, ServedModel
from boresight.web.shell import LOOPBACK, build_shell

LOADING_SECONDS = "5"
"""Retry-After while the model is being loaded."""


class Said(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: Role
    content: str


class Question(BaseModel):
    """The body of a request for scores."""

    model_config = ConfigDict(extra="forbid")
    prompts: list[list[Said]]
    responses: list[str]


class Answer(BaseModel):
    scores: list[float]
    model_hash: str


@dataclass(slots=True)
class Scoring:
    """What stands behind the routes: no model at first, then one for good."""

    limits: Limits
    metrics: Metrics = field(default_factory=Metrics)
    model: ServedModel | None = None
    batcher: Batcher | None = None
    _reading: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "reading"))

    def serve(self, model: ServedModel) -> None:
        """From now on requests are answered."""
        self.batcher = Batcher(model.scores, self.limits, self.metrics)
        self.metrics.model_hash = model.hash
        self.model = model

    async def answer(self, question: Question) -> Answer:
        """Raises HTTPException for what cannot be answered now or at all."""
        if self.model is None or self.batcher is None:
            raise HTTPException(503, "The model is being loaded.", {"Retry-After": LOADING_SECONDS})
        count = self._count(question)
        try:
            self.batcher.admit(count)
        except FullError as full:
            wait = str(math.ceil(full.seconds))
            raise HTTPException(429, f"{full}: {self.metrics.held} responses wait.", {"Retry-After": wait}) from full
        try:
            return Answer(scores=await self._scores(self.model, self.batcher, question), model_hash=self.model.hash)
        finally:
            self.batcher.release(count)

    async def _scores(self, model: ServedModel, batcher: Batcher, question: Question) -> list[float]:
        if not question.responses:
            return []
        prompts = [tuple(Message(said.role, said.content) for said in prompt) for prompt in question.prompts]
        # One thread alone: a tokenizer is not for several at once.
        rows: Sequence[Row] = await asyncio.get_running_loop().run_in_executor(
            self._reading, model.rows, prompts, question.responses
        )
        return await batcher.scores(rows)

    def _count(self, question: Question) -> int:
        count, most = len(question.responses), min(self.limits.request_responses, self.limits.waiting_responses)
        if len(question.prompts) != count:
            prompts, responses = counted(len(question.prompts), "prompt"), counted(count, "response")
            raise HTTPException(422, f"{prompts} for {responses}; expected as many.")
        if count > most:
            raise HTTPException(413, f"{count} responses in one request; at most {most} are taken. Send them in parts.")
        return count


def build_reward_service(scoring: Scoring, *, hosts: Sequence[str] = LOOPBACK, token: str | None = None) -> FastAPI:
    """The application; with a `token` scores are for those alone who send it (Authorization: Bearer)."""
    app = build_shell("reward service", hosts=hosts, most_body_bytes=scoring.limits.body_bytes)
    app.add_middleware(CountAnswers, metrics=scoring.metrics)

    def allowed(request: Request) -> None:
        given = request.headers.get("Authorization", "")
        if token is not None and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise HTTPException(
                401, "A bearer token is needed here, and this is not it.", {"WWW-Authenticate": "Bearer"}
            )

    # The body is read and written by hand: what the framework does about both costs more than to score a short text.
    @app.post("/score")
    async def score(request: Request) -> Response:
        allowed(request)
        answer = await scoring.answer(question_in(request.headers.get("Content-Type", ""), await request.body()))
        return Response(answer.model_dump_json(), media_type="application/json")

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        if scoring.model is None:
            raise HTTPException(503, "The model is being loaded.", {"Retry-After": LOADING_SECONDS})
        return {"status": "ready", "model_hash": scoring.model.hash}

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(scoring.metrics.text(), media_type=MEDIA_TYPE)

    return app


def question_in(content_type: str, body: bytes) -> Question:
    """Raises HTTPException and RequestValidationError, which become refusals, for what is no question."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, f"The body is {content_type or 'of no type'}; expected application/json.")
    try:
        return Question.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False, include_input=False)]
        ) from error


class CountAnswers:
    """Counts the answers to requests for scores, refusals of every kind included, and how long they took."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/score":
            await self.app(scope, receive, send)
            return
        began = time.monotonic()

        async def send_counted(message: Event) -> None:
            if message["type"] == "http.response.start":
                self._metrics.request(message["status"], time.monotonic() - began)
            await send(message)

        await self.app(scope, receive, send_counted)
