"""The client against a real endpoint that does everything wrong an endpoint can: nothing lost, nothing asked twice."""

import asyncio
import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from boresight.errors import JudgeError
from boresight.feedback.chat_endpoint import HIDDEN, ChatEndpoint, OutOfReachError, Reply
from boresight.feedback.judge_cache import JudgeCache
from boresight.feedback.judge_client import OVER_BUDGET, Failure, JudgeClient, Prices, Question
from boresight.feedback.verdicts import VERDICT

from .judge_server import Bucket, Faults, JudgeServer, Said, completion, drop, verdict
from .virtual_time import VirtualLoop

KEY = "sk-very-secret-0123456789"
MATERIAL = "<<<RESPONSE A>>>\nquality=0.9 {0}\n<<<RESPONSE B>>>\nquality=0.1\n<<<END OF MATERIAL>>>"


def questions(n: int, sample: int = 0) -> list[Question]:
    return [Question([{"role": "user", "content": MATERIAL.format(i)}], sample) for i in range(n)]


def client(server: JudgeServer, folder: Path, **more: Any) -> JudgeClient:
    endpoint = ChatEndpoint(server.url, "tiny-judge", **more.pop("endpoint", {}))
    settings = {"first_wait": 0.01, "patience": 60.0} | more
    return JudgeClient(endpoint, JudgeCache(folder / "replies.sqlite"), **settings)


def test_replies_come_in_order_with_their_cost_and_equal_questions_are_asked_once(tmp_path: Path) -> None:
    with JudgeServer() as server:
        asking = client(server, tmp_path, prices=Prices(1.0, 10.0))
        first = asking.ask([*questions(30), *questions(30)])
        assert asking.ask(questions(30)) == first[:30]  # paid for already
    assert len(first) == 60 and first[:30] == first[30:] and all(isinstance(one, Reply) for one in first)
    assert len(server.requests) == 30 and asking.ledger.asked == 30
    # 30 x (100 tokens at 1 dollar and 20 at 10 dollars a million)
    assert asking.cost() == pytest.approx(30 * (100 * 1.0 + 20 * 10.0) / 1e6)
    assert server.requests[0]["model"] == "tiny-judge" and server.requests[0]["max_tokens"] == 512


def test_what_was_answered_is_never_asked_again_but_another_sample_or_model_is(tmp_path: Path) -> None:
    with JudgeServer() as server:
        client(server, tmp_path).ask(questions(5))
        again = client(server, tmp_path)
        again.ask(questions(5))
        assert len(server.requests) == 5 and (again.ledger.known, again.ledger.asked) == (5, 0)
        again.ask(questions(5, sample=1))
        assert len(server.requests) == 10
        client(server, tmp_path, endpoint={"temperature": 0.7}).ask(questions(5))
        assert len(server.requests) == 15


def test_every_question_of_a_misbehaving_endpoint_ends_as_reply_or_failure(tmp_path: Path) -> None:
    faults = Faults(drops=0.03, garbled=0.03, errors=0.02, delay=0.005, rate=150.0)
    with JudgeServer(faults=faults) as server:
        outcomes = client(server, tmp_path).ask(questions(1000))
    answered = sum(isinstance(one, Reply) for one in outcomes)
    failed = [one for one in outcomes if isinstance(one, Failure)]
    assert answered + len(failed) == 1000 and answered >= 990, failed[:3]
    assert max(server.answered.values()) == 1 and sum(server.answered.values()) == answered
    assert server.turned_away < 0.3 * len(server.requests)


class LimitedEndpoint(ChatEndpoint):
    """Without a network: hangs up on each twelfth request that its limit lets in, and answers the others."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        super().__init__("http://127.0.0.1:1/v1", "tiny-judge")
        self.let_in = self.turned_away = 0
        self._bucket = Bucket(rate, clock)

    def ask(self, messages: Any, sample: int, form: Any = None) -> Reply:
        if (wait := self._bucket.wait()) is not None:
            self.turned_away += 1
            raise OutOfReachError("status 429", wait, overloaded=True)
        self.let_in += 1
        if self.let_in % 12 == 0:
            raise OutOfReachError("hung up")
        return Reply("A", "stop", 100, 20, counted=True)


@pytest.mark.parametrize(("rate", "latency"), [(150.0, 0.005), (150.0, 0.02), (20.0, 0.1)])
def test_the_rate_that_an_endpoint_allows_is_found_used_and_kept_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float, latency: float
) -> None:
    random.seed(0)  # of the pauses after what is no limit
    loop = VirtualLoop(latency)
    monkeypatch.setattr(asyncio, "run", loop.run_until_complete)
    endpoint = LimitedEndpoint(rate, loop.time)
    cache = JudgeCache(tmp_path / "replies.sqlite")
    outcomes = JudgeClient(endpoint, cache, first_wait=0.01, patience=60.0, clock=loop.time).ask(questions(1000))
    loop.close()
    assert all(isinstance(one, Reply) for one in outcomes)
    assert 0 < endpoint.turned_away < 0.3 * (endpoint.let_in + endpoint.turned_away)
    # Let in were the whole bucket at the beginning and `rate` a second after that; hung up on is let in as well.
    assert endpoint.let_in >= 0.9 * rate * (1 + loop.time())


ASK_A_THOUSAND = """
import sys
from pathlib import Path
from boresight.feedback.chat_endpoint import ChatEndpoint
from boresight.feedback.judge_cache import JudgeCache
from boresight.feedback.judge_client import JudgeClient, Question
material, url, path = sys.argv[1:]
client = JudgeClient(ChatEndpoint(url, "tiny-judge"), JudgeCache(Path(path)), first_wait=0.01)
client.ask([Question([{"role": "user", "content": material.format(i)}]) for i in range(1000)])
"""


def test_after_a_kill_nothing_that_was_kept_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    with JudgeServer(faults=Faults(delay=0.01, drops=0.02, garbled=0.02)) as server:
        process = subprocess.Popen([sys.executable, "-c", ASK_A_THOUSAND, MATERIAL, server.url, str(path)])
        deadline = time.monotonic() + 60
        while sum(server.answered.values()) < 300:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with closing(sqlite3.connect(path)) as replies:
            kept = {row[0] for row in replies.execute("select key from replies")}
        asking = client(server, tmp_path)
        outcomes = asking.ask(questions(1000))
    assert 300 - 32 <= len(kept) < 1000 and asking.ledger.known == len(kept)
    assert all(isinstance(one, Reply) for one in outcomes)
    keys = {asking.key(question): question for question in questions(1000)}
    told = {key: server.answered[server_key(question)] for key, question in keys.items()}
    assert [key for key in kept if told[key] != 1] == []
    # Only what was on the way at the moment of the kill, at most one for each worker, can have been told twice.
    assert sum(times - 1 for times in told.values()) <= 32


def server_key(question: Question) -> str:
    return json.dumps([list(question.messages), None])


def page(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "http://127.0.0.1:9/elsewhere")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b'{"choices": [' + b" " * 500)
            handler.wfile.flush()
            time.sleep(0.01)
    except OSError:
        return


@pytest.mark.parametrize(
    ("always", "said"),
    [
        (Said(401, b'{"error": "bad key"}'), ("status 401", "bad key", "OPENAI_API_KEY")),
        (Said(403, b"no"), ("status 403", "OPENAI_API_KEY")),
        (Said(404, b"no such model"), ("status 404", "/v1/chat/completions", "no such model", "check the model")),
        (page, ("status 302", "no chat API")),
        (Said(402, b"pay"), ("no credit is left",)),
        (Said(429, b'{"error": {"code": "insufficient_quota"}}'), ("no credit is left",)),
        (Said(429, b"slow"), ("out of reach", "status 429", "slow")),
        (Said(503, b"busy"), ("out of reach", "status 503")),
        (Said(500, b"oops"), ("out of reach", "status 500", "oops")),
        (Said(200, b"<!DOCTYPE html><p>Welcome"), ("a web page (HTML)", "Welcome", "4 tries")),
        (Said(200, b""), ("an empty answer",)),
        (Said(200, verdict("A").body[:40]), ("JSON that is cut off or broken",)),
        (Said(200, b"[1, 2]"), ("no chat completion",)),
        (Said(200, b'{"choices": []}'), ("no chat completion",)),
        (endless, ("an answer without end",)),
        (drop, ("out of reach",)),
    ],
)
def test_endpoint_that_can_answer_nothing_is_named_with_what_to_do(tmp_path: Path, always: Any, said: Any) -> None:
    with JudgeServer() as server:
        asking = client(server, tmp_path, patience=0.05, endpoint={"timeout": 0.3})
        asking.ask(questions(3))  # these are kept
        server.always = always
        with pytest.raises(JudgeError) as fault:
            asking.ask([*questions(3), *questions(40)])
        for part in (server.url, "tiny-judge", *said):
            assert part in str(fault.value)
        server.always = None
        later = client(server, tmp_path)
        assert all(isinstance(one, Reply) for one in later.ask(questions(40)))
        assert later.ledger.known >= 3


def test_endpoint_that_refuses_every_question_is_not_asked_all_of_them(tmp_path: Path) -> None:
    with JudgeServer() as server:
        server.always = Said(400, b"unknown parameter")
        with pytest.raises(JudgeError, match=r"20 questions in a row failed.*status 400.*unknown parameter"):
            client(server, tmp_path).ask(questions(500))
        assert len(server.requests) <= 20 + 32


def test_nobody_who_listens_is_told_too(tmp_path: Path) -> None:
    with JudgeServer() as server:
        asking = client(server, tmp_path, patience=0.05)
    with pytest.raises(JudgeError, match=r"out of reach: .*refused"):
        asking.ask(questions(2))


def test_one_question_that_is_refused_is_a_failure_of_its_own(tmp_path: Path) -> None:
    with JudgeServer() as server:
        server.script = [verdict("A"), Said(400, b"the context is too long")]
        outcomes = client(server, tmp_path, most_at_once=1).ask(questions(3))
    assert [type(one) for one in outcomes] == [Reply, Failure, Reply]
    assert "too long" in outcomes[1].reason  # type: ignore[union-attr]
    assert len(server.requests) == 3  # a refusal is not tried again


def test_endpoint_without_schemas_or_with_another_name_of_the_limit_is_asked_in_its_own_way(tmp_path: Path) -> None:
    with JudgeServer() as server:
        server.script = [Said(400, b"response_format is not supported"), Said(400, b"use 'max_completion_tokens'")]
        outcomes = client(server, tmp_path, most_at_once=1).ask(questions(2))
    assert all(isinstance(one, Reply) for one in outcomes)
    assert "response_format" in server.requests[0] and "response_format" not in server.requests[-1]
    assert server.requests[-1]["max_completion_tokens"] == 512 and "max_tokens" not in server.requests[-1]
    assert len(server.requests) == 4


def test_retry_after_is_kept_to(tmp_path: Path) -> None:
    with JudgeServer() as server:
        server.script = [Said(429, b"", {"Retry-After": "0.4"})]
        began = time.monotonic()
        client(server, tmp_path).ask(questions(1))
    assert time.monotonic() - began >= 0.4 and len(server.requests) == 2


def test_budget_is_never_passed_and_what_is_left_is_counted(tmp_path: Path) -> None:
    prices = Prices(1000.0, 1000.0)  # a reply costs 0.12 dollars
    with JudgeServer() as server:
        asking = client(server, tmp_path, prices=prices, budget=1.0, endpoint={"max_tokens": 30})
        outcomes = asking.ask(questions(50))
        spent = asking.cost()
        # As long as one more might fit, it is asked: at most 64 + 82 bytes and 30 tokens, or 0.18 dollars, are left.
        assert spent is not None and 1.0 - 0.18 < spent <= 1.0
        left = outcomes.count(OVER_BUDGET)
        assert left == 50 - asking.ledger.asked > 0
        asked = len(server.requests)
        again = client(server, tmp_path, prices=prices, budget=1.0, endpoint={"max_tokens": 30})
        assert again.ask(questions(50)) == outcomes and len(server.requests) == asked


def test_estimate_asks_nothing_and_leaves_out_what_is_known(tmp_path: Path) -> None:
    with JudgeServer() as server:
        asking = client(server, tmp_path, endpoint={"max_tokens": 30})
        asking.ask(questions(4))
        asked = len(server.requests)
        estimate = asking.estimate(questions(10))
        assert len(server.requests) == asked
    assert (estimate.questions, estimate.known, estimate.completion_tokens) == (6, 4, 6 * 30)
    assert estimate.prompt_tokens == 6 * -(-len(MATERIAL.format(9)) // 4)


def test_api_key_goes_to_the_endpoint_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with JudgeServer() as server:
        server.script = [completion(f"your key is {KEY}")]
        asking = client(server, tmp_path, most_at_once=1)
        (reply,) = asking.ask(questions(1))
        assert isinstance(reply, Reply) and HIDDEN in reply.text
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
        server.always = Said(401, f"wrong key {KEY}".encode())
        with pytest.raises(JudgeError) as fault:
            asking.ask(questions(5))
    assert KEY not in str(fault.value) and KEY not in repr(asking) and HIDDEN in str(fault.value)
    assert fault.value.__cause__ is None
    asking.cache.close()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written and all(KEY.encode() not in path.read_bytes() for path in written)


def test_key_that_cannot_be_a_header_is_refused_without_showing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nX: y")
    with JudgeServer() as server, pytest.raises(JudgeError, match="OPENAI_API_KEY holds characters") as fault:
        client(server, tmp_path).ask(questions(1))
    assert KEY not in str(fault.value)


def test_without_a_key_none_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with JudgeServer() as server:
        client(server, tmp_path).ask(questions(1))
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x/v1", "http://", "https://u:secret@x/v1", "http://x/?key=secret"]
)
def test_address_that_cannot_be_asked_or_holds_a_secret_is_refused(url: str) -> None:
    with pytest.raises(JudgeError, match="base_url") as fault:
        ChatEndpoint(url, "m")
    assert "secret" not in str(fault.value)


def test_file_of_replies_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "replies.sqlite").write_text("no database, but long enough to be taken for one" * 40)
    with pytest.raises(JudgeError, match=r"replies\.sqlite: the file of replies cannot be used"):
        JudgeCache(tmp_path / "replies.sqlite")


def test_reply_with_half_a_character_is_kept(tmp_path: Path) -> None:
    """A limit of tokens, or a bad escape, may leave half of a surrogate pair, which no file takes."""
    with JudgeServer() as server:
        server.script = [completion("fine \ud83d [[A]]")]
        (reply,) = client(server, tmp_path).ask(questions(1))
        assert isinstance(reply, Reply) and VERDICT.read(reply.text) == 1.0 and reply.text == "fine ? [[A]]"
        assert client(server, tmp_path).ask(questions(1)) == [reply]
    assert len(server.requests) == 1


def test_tokens_are_estimated_where_the_endpoint_counts_none(tmp_path: Path) -> None:
    with JudgeServer() as server:
        server.script = [completion("A is better. [[A]]", usage=None)]
        asking = client(server, tmp_path)
        (reply,) = asking.ask(questions(1))
    assert isinstance(reply, Reply) and not reply.counted and asking.ledger.estimated_counts == 1
    assert reply.completion_tokens == 5  # 18 characters, 4 a token, rounded up
