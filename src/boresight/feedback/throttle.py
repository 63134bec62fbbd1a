"""How many requests may be on the way at once: as many as the endpoint takes, found by trying.

Additive increase, multiplicative decrease (Chiu & Jain 1989, doi:10.1016/0169-7552(89)90019-6): a reply allows 1/limit
more, so that a full round of replies allows one more; a refusal for too many takes the limit down by BACK_OFF and
pauses all, for as long as Retry-After says. Refusals of one pause count once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

BACK_OFF = 0.7
FIRST_LIMIT = 8.0


class Throttle:
    """How many requests may be on the way at once, learnt from what the endpoint turns away."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self.limit = min(FIRST_LIMIT, float(most))
        self._most = float(most)
        self._clock = clock
        self._active = 0
        self._paused_until = float("-inf")
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place, and give it back at the end."""
        await self._enter()
        try:
            yield
        finally:
            self._active -= 1
            async with self._changed:
                self._changed.notify_all()

    async def _enter(self) -> None:
        async with self._changed:
            while True:
                pause = self._paused_until - self._clock()
                if self._active >= max(1, int(self.limit)):
                    await self._changed.wait()
                elif pause > 0:
                    self._changed.release()
                    try:
                        await asyncio.sleep(pause)
                    finally:
                        await self._changed.acquire()
                else:
                    self._active += 1
                    return

    def succeeded(self) -> None:
        """Let in more at once: one more after as many answers as are let in (additive increase)."""
        self.limit = min(self._most, self.limit + 1.0 / self.limit)

    def overloaded(self, wait: float) -> None:
        """All wait for `wait` seconds; what is on the way goes on."""
        now = self._clock()
        if now >= self._paused_until:
            self.limit = max(1.0, self.limit * BACK_OFF)
        self._paused_until = max(self._paused_until, now + wait)
