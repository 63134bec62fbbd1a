"""An event loop whose time passes only while all in it sleep: a rate in it is the same on a busy processor."""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class _Skipping(selectors.DefaultSelector):
    """Passes over the time for which it would wait."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "all in the loop wait for each other"
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """What is handed to an executor is called in the loop itself, and takes `latency` seconds of its time."""

    def __init__(self, latency: float) -> None:
        self._skipping = _Skipping()
        self._latency = latency
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now

    def run_in_executor(self, executor: Any, function: Callable[..., Any], *given: Any) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = self.create_future()
        self.call_later(self._latency, self._settle, answer, function, given)
        return answer

    @staticmethod
    def _settle(answer: asyncio.Future[Any], function: Callable[..., Any], given: tuple[Any, ...]) -> None:
        try:
            answer.set_result(function(*given))
        except Exception as fault:  # whoever waits for the answer is to have it
            answer.set_exception(fault)
