"""Responses of many requests in one forward pass.

What has come in while the model computed is the next load; where the model is idle, the first response waits a few
milliseconds for others. A load is sorted by prompt and length and cut into batches within a budget of tokens. One
thread computes; everything else happens in the event loop, so that nothing needs a lock.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from boresight.web.reward_service.limits import Limits
from boresight.web.reward_service.metrics import Metrics
from boresight.web.reward_service.model import Row

LOADS = 4
"""Batches' worth of responses that are sorted together: more of them make the batches more even, and the first of
them wait longer."""
FIRST_GUESS = 1.0
"""Seconds that a refused client is told to wait before anything was measured."""
MOST_SECONDS = 30.0


class FullError(Exception):
    """No room for so many responses just now; `seconds` until there should be."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"full for about {seconds:.0f} s")
        self.seconds = seconds


@dataclass(slots=True)
class Waiting:
    row: Row
    since: float
    score: "asyncio.Future[float]"


@dataclass(slots=True)
class Batcher:
    """`score`: from rows to one score each, called in a thread of its own, one call at a time."""

    score: Callable[[Sequence[Row]], list[float]]
    limits: Limits
    metrics: Metrics
    clock: Callable[[], float] = time.monotonic
    _waiting: "deque[Waiting]" = field(default_factory=deque)
    _tokens: int = 0  # of those that wait
    _enough: asyncio.Event = field(default_factory=asyncio.Event)
    _held: int = 0  # responses that came in and are not answered
    _rate: float = 0.0  # responses a second of late
    _working: "asyncio.Task[None] | None" = None
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "scoring"))

    def admit(self, responses: int) -> None:
        """Hold room for so many, until `release`. Raises FullError where there is none."""
        if self._held + responses > self.limits.waiting_responses:
            seconds = self._held / self._rate if self._rate else FIRST_GUESS
            raise FullError(min(max(FIRST_GUESS, seconds), MOST_SECONDS))
        self._held += responses
        self.metrics.held = self._held

    def release(self, responses: int) -> None:
        """Give back the room that `admit` held."""
        self._held -= responses
        self.metrics.held = self._held

    async def scores(self, rows: Sequence[Row]) -> list[float]:
        """One score a row, computed together with the rows of others. Raises what the model raises."""
        loop, now = asyncio.get_running_loop(), self.clock()
        mine = [Waiting(row, now, loop.create_future()) for row in rows]
        self._waiting.extend(mine)
        self._tokens += sum(len(row.ids) for row in rows)
        if self._is_enough():
            self._enough.set()
        if self._working is None or self._working.done():
            self._working = loop.create_task(self._work())
        # All of them before the first failure is raised, since asyncio complains of failures that nobody reads.
        await asyncio.gather(*(waiting.score for waiting in mine), return_exceptions=True)
        return [waiting.score.result() for waiting in mine]

    async def _work(self) -> None:
        """Score until nothing waits."""
        while self._waiting:
            await self._company()
            load = self._take()
            for batch in cut(load, self.limits):
                await self._score(batch)

    async def _company(self) -> None:
        """Return once a batch is full, or the oldest has waited long enough."""
        self._enough.clear()
        left = self._waiting[0].since + self.limits.wait_seconds - self.clock()
        if left <= 0 or self._is_enough():
            return
        try:
            await asyncio.wait_for(self._enough.wait(), left)
        except TimeoutError:
            return

    def _is_enough(self) -> bool:
        return len(self._waiting) >= self.limits.batch_responses or self._tokens >= self.limits.batch_tokens

    def _take(self) -> list[Waiting]:
        """The oldest, as many as make up LOADS batches."""
        taken: list[Waiting] = []
        tokens = 0
        most_responses, most_tokens = LOADS * self.limits.batch_responses, LOADS * self.limits.batch_tokens
        while self._waiting and len(taken) < most_responses and tokens < most_tokens:
            taken.append(self._waiting.popleft())
            tokens += len(taken[-1].row.ids)
        self._tokens -= tokens
        return taken

    async def _score(self, batch: Sequence[Waiting]) -> None:
        began = self.clock()
        loop = asyncio.get_running_loop()
        try:
            scores = await loop.run_in_executor(self._thread, self.score, [waiting.row for waiting in batch])
        except Exception as error:  # of this batch alone: whoever asked is told, and the next batch is computed
            for waiting in batch:
                if not waiting.score.done():
                    waiting.score.set_exception(error)
            return
        seconds = max(self.clock() - began, 1e-6)
        rate = len(batch) / seconds
        self._rate = rate if not self._rate else 0.8 * self._rate + 0.2 * rate
        self.metrics.batch(len(batch), sum(len(waiting.row.ids) for waiting in batch), seconds)
        for waiting, score in zip(batch, scores, strict=True):
            if not waiting.score.done():  # its request was given up meanwhile
                waiting.score.set_result(score)


def cut(load: Sequence[Waiting], limits: Limits) -> list[list[Waiting]]:
    """Batches within the limits; a response longer than the budget is a batch by itself.

    Responses to one prompt stay together, since the prompt is then computed once; prompts go by their longest response,
    so that little of a batch is filling where the model cannot do without.
    """
    longest: dict[tuple[int, ...], int] = {}
    for waiting in load:
        prompt = waiting.row.prompt
        longest[prompt] = max(longest.get(prompt, 0), len(waiting.row.ids))
    batches: list[list[Waiting]] = []
    width = 0  # of the last batch
    for waiting in sorted(load, key=lambda w: (longest[w.row.prompt], w.row.prompt, len(w.row.ids))):
        batch = batches[-1] if batches else []
        width = max(width, len(waiting.row.ids))
        if not batch or len(batch) == limits.batch_responses or (len(batch) + 1) * width > limits.batch_tokens:
            batches.append([waiting])
            width = len(waiting.row.ids)
        else:
            batch.append(waiting)
    return batches
