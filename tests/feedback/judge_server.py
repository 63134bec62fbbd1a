"""A real chat endpoint on the loopback address whose biases and misbehaviour are planted: what a judge's figures and a
client's patience are held against.

Asked for a critique it has one, and for a revision it writes `Better:` before the response. Asked for a score, it gives
1 to 9 by the response's worth; asked for log-probabilities, its verdict has the probability `Bias.sureness`, and the
others share the rest. What it is shown decides what it does: all draws are hashes of the seed, the question and, for
faults, of how often the question came. A response tells its worth by `quality=0.7`, its maker by `made-by-the-judge`,
flattery by `You are right`.
"""

import hashlib
import json
import math
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple

OWN, FLATTERY = "made-by-the-judge", "You are right"
CRITICISED = re.compile(r"<<<RESPONSE>>>\n(.*)\n<<<CRITIQUE>>>", re.DOTALL)
ALONE = re.compile(r"<<<RESPONSE>>>\n(.*)\n<<<END OF MATERIAL>>>", re.DOTALL)
SHOWN = re.compile(r"<<<RESPONSE A>>>\n(.*)\n<<<RESPONSE B>>>\n(.*)\n<<<END OF MATERIAL>>>", re.DOTALL)


class Said(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Bias:
    """Shares of the verdicts that are given for a reason other than quality; of the rest `noise` is turned round. The
    first reason of these that applies decides (two equal lengths have no longer one)."""

    position: float = 0.0
    length: float = 0.0
    own: float = 0.0
    sycophancy: float = 0.0
    noise: float = 0.0
    sureness: float = 0.8


@dataclass(frozen=True)
class Faults:
    """Shares of requests: `refusals` and `malformed` are of questions, and come again when asked again; the others are
    of requests. `delay`: seconds; `rate`: requests a second, beyond which 429 says how long to wait."""

    refusals: float = 0.0
    malformed: float = 0.0
    drops: float = 0.0
    garbled: float = 0.0
    errors: float = 0.0
    delay: float = 0.0
    rate: float | None = None


def completion(text: str, finish_reason: str = "stop", **more: Any) -> Said:
    message = {"role": "assistant", "content": text}
    answer = {
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20},
    } | more
    return Said(200, json.dumps(answer).encode())


def verdict(label: str, rationale: str = "because") -> Said:
    return completion(json.dumps({"rationale": rationale, "verdict": label}))


def answered(key: str, answer: object, probabilities: Mapping[str, float]) -> Said:
    """An answer with the log-probabilities of its token and of others in its place."""
    begins = f'{{"rationale": "because", "{key}": ' + ('"' if isinstance(answer, str) else "")
    written, ends = str(answer), '"}' if isinstance(answer, str) else "}"
    top = [{"token": token, "logprob": math.log(share)} for token, share in probabilities.items()]
    tokens = [
        {"token": begins[:9], "logprob": -0.1, "top_logprobs": []},
        {"token": begins[9:], "logprob": -0.1, "top_logprobs": []},
        {"token": written, "logprob": math.log(probabilities[written]), "top_logprobs": top},
        {"token": ends, "logprob": 0.0, "top_logprobs": []},
    ]
    choice = {"index": 0, "message": {"role": "assistant", "content": begins + written + ends}, "finish_reason": "stop"}
    return completion("", choices=[choice | {"logprobs": {"content": tokens}}])


class Bucket:
    """A limit of `rate` requests a second, of which one second's are held in store; without a rate there is none."""

    def __init__(self, rate: float | None, clock: Callable[[], float]) -> None:
        self._rate, self._clock = rate, clock
        self._tokens, self._filled = rate or 0.0, clock()

    def wait(self) -> float | None:
        """Seconds after which to come again; None where there is room, which is then taken."""
        if self._rate is None:
            return None
        now = self._clock()
        self._tokens = min(self._rate, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1.0:
            return 0.5
        self._tokens -= 1.0
        return None


class JudgeServer:
    """`script` is said first, one entry a request; an entry may also be a function that is given the handler."""

    def __init__(self, bias: Bias = Bias(), faults: Faults = Faults(), seed: int = 0) -> None:
        self.bias, self.faults, self.seed = bias, faults, seed
        self.script: list[Said | Callable[[BaseHTTPRequestHandler], None]] = []
        self.dies_after: int | None = None
        """Once so many different questions came, it hangs up."""
        self.always: Said | Callable[[BaseHTTPRequestHandler], None] | None = None
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.came: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        """How often each question was given a whole reply."""
        self.let_in: list[float] = []
        """When a request was not turned away, whatever became of it."""
        self.turned_away = 0
        self._lock = threading.Lock()
        self._bucket = Bucket(faults.rate, time.monotonic)
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> "JudgeServer":
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner._answer(self, request)

            def log_message(self, *args: Any) -> None:
                """Stay silent."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 256

            def handle_error(self, *args: Any) -> None:
                """A client that was killed leaves its connection; that is part of the test."""

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        question = json.dumps([request["messages"], request.get("seed")])
        with self._lock:
            self.requests.append(request)
            self.headers.append(dict(handler.headers.items()))
            scripted = self.script.pop(0) if self.script else self.always
            wait = None if scripted else self._bucket.wait()
            if wait is None:
                self.came[question] += 1
                self.let_in.append(time.monotonic())
            dead = self.dies_after is not None and len(self.came) > self.dies_after
        if callable(scripted):
            return scripted(handler)
        if scripted is not None:
            return send(handler, scripted)
        if dead:
            drop(handler)
            return None
        if wait is not None:
            self.turned_away += 1
            return send(handler, Said(429, b'{"error": "slow down"}', {"Retry-After": f"{wait:.2f}"}))
        time.sleep(self.faults.delay)
        fault = self._fault(question)
        if fault == "drop":
            drop(handler)
            return None
        if fault is not None:
            return send(handler, fault)
        send(handler, self._judge(question, request["messages"][-1]["content"], soft=bool(request.get("logprobs"))))
        with self._lock:
            self.answered[question] += 1
        return None

    def _draw(self, *what: object) -> float:
        """A number in 0..1 that the seed and `what` decide."""
        drawn = hashlib.sha256(json.dumps([self.seed, *what]).encode()).digest()
        return int.from_bytes(drawn[:8], "big") / 2**64

    def _fault(self, question: str) -> Said | str | None:
        drawn = self._draw("fault", question, self.came[question])
        if drawn < self.faults.drops:
            return "drop"
        drawn -= self.faults.drops
        if drawn < self.faults.garbled:
            whole = verdict("A").body
            forms = (b"<!doctype html><title>Bad gateway</title>", b"", whole[: len(whole) // 2], b'{"choices": []}')
            return Said(200, forms[int(drawn * 1e6) % len(forms)])
        drawn -= self.faults.garbled
        return Said(500, b"oops") if drawn < self.faults.errors else None

    def _judge(self, question: str, shown: str, *, soft: bool) -> Said:
        drawn = self._draw("form", question)
        if drawn < self.faults.refusals:
            return completion("I'm sorry, but I can't help with that.")
        if drawn < self.faults.refusals + self.faults.malformed:
            return completion("Both have merits. Response A is [[A]], unless it is [[B]]")
        if criticised := CRITICISED.search(shown):
            return completion(f"Better: {criticised[1]}")
        if "\n\nPrinciple: " in shown:
            return completion("It could be better.")
        if alone := ALONE.search(shown):
            score = round(1 + 8 * _quality(alone[1]))
            return completion(json.dumps({"rationale": "because", "score": score}))
        found = SHOWN.search(shown)
        assert found is not None, shown
        label = "A" if self._prefers_first(question, *found.groups()) else "B"
        rest = 1.0 - self.bias.sureness
        shares = {"A": 0.75 * rest, "B": 0.75 * rest, "tie": 0.25 * rest} | {label: self.bias.sureness}
        return answered("verdict", label, shares) if soft else verdict(label)

    def _prefers_first(self, question: str, first: str, second: str) -> bool:
        bias, drawn = self.bias, self._draw("reason", question)
        if drawn < bias.position:
            return True
        drawn -= bias.position
        reasons: tuple[tuple[float, float], ...] = (
            (bias.length, len(first) - len(second)),
            (bias.own, (OWN in first) - (OWN in second)),
            (bias.sycophancy, (FLATTERY in first) - (FLATTERY in second)),
        )
        for share, difference in reasons:
            if drawn < share and difference != 0:
                return difference > 0
            drawn -= share
        better = _quality(first) > _quality(second)
        return better != (self._draw("noise", question) < bias.noise)


def _quality(text: str) -> float:
    """What the text says of itself; of one that says nothing, a number in 0..1 that the text decides."""
    found = re.search(r"quality=([\d.]+)", text)
    return float(found[1]) if found else hashlib.sha256(text.encode()).digest()[0] / 255


def drop(handler: BaseHTTPRequestHandler) -> None:
    """Hang up without a word."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def send(handler: BaseHTTPRequestHandler, said: Said) -> None:
    handler.send_response(said.status)
    for name, value in said.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(said.body)))
    handler.end_headers()
    handler.wfile.write(said.body)
