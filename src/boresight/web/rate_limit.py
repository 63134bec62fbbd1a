"""How often somebody may do something: a bucket of tokens for each key, refilled at a steady rate."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_KEYS = 10_000
"""Keys remembered at once; beyond it, full buckets are forgotten first, which changes nothing for anybody."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(slots=True)
class RateLimit:
    """At most `burst` at once, and `per_second` over time, for each key (an address, a name). Safe between threads."""

    burst: int
    per_second: float
    clock: Callable[[], float] = time.monotonic
    most_keys: int = MOST_KEYS
    _buckets: dict[str, _Bucket] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: str) -> float:
        """Use one token: 0.0 where there was one, otherwise the seconds until there is one again."""
        with self._lock:
            now = self.clock()
            bucket = self._refilled(key, now)
            if bucket.tokens < 1:
                return (1 - bucket.tokens) / self.per_second
            bucket.tokens -= 1
            return 0.0

    def give_back(self, key: str) -> None:
        """Return a token that was used for something that does not count after all."""
        with self._lock:
            bucket = self._refilled(key, self.clock())
            bucket.tokens = min(self.burst, bucket.tokens + 1)

    def _refilled(self, key: str, now: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self.most_keys:
                self._forget(now)
            bucket = self._buckets[key] = _Bucket(self.burst, now)
        bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.at) * self.per_second)
        bucket.at = now
        return bucket

    def _forget(self, now: float) -> None:
        """Drop the buckets that are full again, and where there are none the one that has rested longest."""
        full = [k for k, b in self._buckets.items() if b.tokens + (now - b.at) * self.per_second >= self.burst]
        for key in full or [min(self._buckets, key=lambda key: self._buckets[key].at)]:
            del self._buckets[key]
