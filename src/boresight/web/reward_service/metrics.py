"""What Prometheus reads from the service, in its text format (version 0.0.4)."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the latency histogram's buckets."""
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Metrics:
    """Counts since the start; written in the event loop alone."""

    held: int = 0
    model_hash: str = ""
    _requests: Counter[int] = field(default_factory=Counter)
    _latency: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    _latency_sum: float = 0.0
    _responses: int = 0
    _tokens: int = 0
    _batches: int = 0
    _computing: float = 0.0

    def request(self, status: int, seconds: float) -> None:
        """One request for scores was answered; the latency counts those that got some."""
        self._requests[status] += 1
        if status == 200:
            self._latency[bisect_left(SECONDS, seconds)] += 1
            self._latency_sum += seconds

    def batch(self, responses: int, tokens: int, seconds: float) -> None:
        """One batch was scored, in so many seconds of computing."""
        self._responses += responses
        self._tokens += tokens
        self._batches += 1
        self._computing += seconds

    def text(self) -> str:
        """All of it."""
        lines: list[str] = []

        def family(name: str, kind: str, meaning: str, *samples: tuple[str, float]) -> None:
            full = f"boresight_reward_{name}"
            lines.extend((f"# HELP {full} {meaning}", f"# TYPE {full} {kind}"))
            for labels, value in samples:
                lines.append(f"{full}{labels} {int(value) if value == int(value) else value}")

        counts = [(f'{{status="{status}"}}', float(count)) for status, count in sorted(self._requests.items())]
        family("requests_total", "counter", "Requests for scores by status.", *counts)
        family("responses_total", "counter", "Responses scored.", ("", self._responses))
        family("tokens_total", "counter", "Tokens scored, prompts included.", ("", self._tokens))
        family("batches_total", "counter", "Forward passes.", ("", self._batches))
        family("computing_seconds_total", "counter", "Time in forward passes.", ("", self._computing))
        family("held_responses", "gauge", "Responses that are waiting or being scored.", ("", self.held))
        loaded = [(f'{{hash="{self.model_hash}"}}', 1.0)] if self.model_hash else []
        family("model", "gauge", "1 for the model that is loaded.", *loaded)
        family("request_seconds", "histogram", "From a request to its scores.", *self._histogram())
        return "\n".join(lines) + "\n"

    def _histogram(self) -> list[tuple[str, float]]:
        samples, below = [], 0
        for bound, count in zip((*map(str, SECONDS), "+Inf"), self._latency, strict=True):
            below += count
            samples.append((f'_bucket{{le="{bound}"}}', float(below)))
        return [*samples, ("_sum", self._latency_sum), ("_count", float(below))]
