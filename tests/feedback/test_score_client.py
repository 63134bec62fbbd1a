"""The client against a real server on the loopback address; only waiting is not real."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from boresight.errors import ServiceError
from boresight.feedback.score_client import ScoreClient
from boresight.records import Message

from ..score_server import Said, ScoreServer, scored

PROMPTS = [(Message("user", "go"),), (Message("system", "be brief"), Message("user", "on"))]


@dataclass
class Clock:
    """Time passes by waiting alone; `at_wait` is done at each wait."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)
    at_wait: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        self.at_wait()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScoreServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ScoreServer().start()
    yield server
    server.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def client(server: ScoreServer, clock: Clock, *, patience: float = 60.0, timeout: float = 5.0) -> ScoreClient:
    return ScoreClient(server.url, timeout, patience, clock=lambda: clock.now, sleep=clock.sleep)


def test_request_and_answer_follow_the_contract(server: ScoreServer, clock: Clock) -> None:
    asking = client(server, clock)
    asking.wait_until_ready()
    answer = asking.score(PROMPTS, ["aab", "b"])
    assert answer.scores == [pytest.approx(2 / 3), 0.0] and answer.model_hash == "a" * 64
    assert server.requests == [
        {
            "prompts": [
                [{"role": "user", "content": "go"}],
                [{"role": "system", "content": "be brief"}, {"role": "user", "content": "on"}],
            ],
            "responses": ["aab", "b"],
        }
    ]
    assert clock.waits == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_faults_are_tried_again_with_longer_waits(server: ScoreServer, clock: Clock, status: int) -> None:
    server.script = [Said(status, "<html>busy</html>")] * 7
    assert client(server, clock, patience=200.0).score(PROMPTS, ["a", "b"]).scores == [1.0, 0.0]
    assert clock.waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_service_may_say_how_long_to_wait(server: ScoreServer, clock: Clock) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    server.script = [
        Said(429, "", {"Retry-After": "7"}),
        Said(503, "", {"Retry-After": later}),
        Said(429, "", {"Retry-After": "soon"}),  # says nothing: our own wait
        Said(429, "", {"Retry-After": "0"}),  # never a loop without a pause
    ]
    client(server, clock).score(PROMPTS, ["a", "b"])
    assert clock.waits == [7.0, pytest.approx(20.0, abs=2.0), 4.0, 1.0]


def test_service_that_dies_and_comes_back_is_waited_for(server: ScoreServer, clock: Clock) -> None:
    asking = client(server, clock)
    server.stop()

    def come_back() -> None:
        if len(clock.waits) == 3:
            server.start()

    clock.at_wait = come_back
    assert asking.score(PROMPTS, ["a", "b"]).scores == [1.0, 0.0]
    assert clock.waits == [1.0, 2.0, 4.0]


def test_readiness_is_waited_for_and_a_service_without_it_counts_as_ready(server: ScoreServer, clock: Clock) -> None:
    server.health = Said(503, "loading")
    asking = client(server, clock)

    def loaded() -> None:
        server.health = Said(200, "{}")

    clock.at_wait = loaded
    asking.wait_until_ready()
    assert clock.waits == [1.0]
    server.health = None
    asking.wait_until_ready()
    assert clock.waits == [1.0]


def test_service_that_stays_away_is_told_after_patience(server: ScoreServer, clock: Clock) -> None:
    asking = client(server, clock, patience=10.0)
    server.stop()
    with pytest.raises(
        ServiceError, match=r"127\.0\.0\.1:\d+: the reward service is out of reach \(.*refused.*4 tries"
    ):
        asking.score(PROMPTS, ["a", "b"])
    assert clock.waits == [1.0, 2.0, 4.0]  # the next would end after patience


def test_wait_that_is_longer_than_patience_is_not_begun(server: ScoreServer, clock: Clock) -> None:
    server.script = [Said(429, "", {"Retry-After": "3600"})]
    with pytest.raises(ServiceError, match=r"status 429; 1 tries in 0 s"):
        client(server, clock).score(PROMPTS, ["a", "b"])
    assert clock.waits == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (Said(200, "<html><body>Please log in</body></html>"), r"no JSON: '<html><body>Please log in"),
        (Said(200, '{"scores": [1.0'), r"no JSON"),
        (Said(200, "[1.0, 2.0]"), r'no list of numbers under "scores"'),
        (Said(200, '{"scores": [1.0, null], "model_hash": "x"}'), r'no list of numbers under "scores"'),
        (Said(200, '{"scores": [1.0, true], "model_hash": "x"}'), r'no list of numbers under "scores"'),
        (scored([1.0]), r"1 scores for 2 responses"),
        (scored([1.0, 2.0, 3.0]), r"3 scores for 2 responses"),
        (Said(200, '{"scores": [1.0, 2.0]}'), r'no text under "model_hash"'),
        (Said(404, "not here"), r"status 404: 'not here'"),
        (Said(422, '{"detail": "too long"}'), r"status 422: .*too long"),
    ],
)
def test_answer_that_breaks_the_contract_is_told_at_once(
    server: ScoreServer, clock: Clock, said: Said, message: str
) -> None:
    server.script = [said]
    with pytest.raises(ServiceError, match=message):
        client(server, clock).score(PROMPTS, ["a", "b"])
    assert clock.waits == [] and len(server.requests) == 1


def test_slow_service_is_out_of_reach(server: ScoreServer, clock: Clock) -> None:
    """A server that accepts and says nothing: a listening socket that nobody reads from."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asking = ScoreClient(
            f"http://127.0.0.1:{silent.getsockname()[1]}", 0.05, 0.5, clock=lambda: clock.now, sleep=clock.sleep
        )
        with pytest.raises(ServiceError, match=r"out of reach \(timed out"):
            asking.score(PROMPTS, ["a", "b"])


def test_after_three_failures_only_readiness_is_asked_for_until_the_service_has_it(
    server: ScoreServer, clock: Clock
) -> None:
    server.script = [Said(500, "")] * 3
    server.health = Said(503, "loading")

    def loaded() -> None:
        if len(clock.waits) == 6:
            server.health = Said(200, "{}")

    clock.at_wait = loaded
    assert client(server, clock, patience=200.0).score(PROMPTS, ["a", "b"]).scores == [1.0, 0.0]
    assert len(clock.waits) == 6 and len(server.requests) == 4


def test_token_is_sent_to_the_service_and_not_where_it_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append((self.path, self.headers.get("Authorization")))
            self.send_response(200 if self.path == "/elsewhere" else 302)
            self.send_header("Location", f"http://localhost:{port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Stay silent."""

    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("BORESIGHT_REWARD_TOKEN", "secret")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as leading:
        port = leading.server_address[1]
        threading.Thread(target=leading.serve_forever, kwargs={"poll_interval": 0.01}).start()
        ScoreClient(f"http://127.0.0.1:{port}", 5.0, 0.0).wait_until_ready()
        leading.shutdown()
    assert sent[:2] == [("/ready", "Bearer secret"), ("/elsewhere", None)]
