"""`boresight judge batch`: requests out, results in, against an endpoint that works a batch file off."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boresight.data.jsonl import read_records, write_records
from boresight.records import PreferencePair
from tests.feedback.judge_server import JudgeServer
from tests.feedback.test_rubric_judge import response

from .conftest import Call

Line = dict[str, Any]


@pytest.fixture
def responses(tmp_path: Path) -> Path:
    texts = [f"quality={quality} text {quality}" for quality in (0.1, 0.5, 0.9)]
    path = tmp_path / "responses.jsonl"
    write_records(path, [response(f"p{n}", i, t) for n in range(3) for i, t in enumerate(texts)])
    return path


def settings(url: str, out: Path) -> list[str | Path]:
    return ["--base-url", url, "--model", "judge-1", "--out", out, "--rubric", "helpful"]


def lines_of(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def work_off(url: str, requests: Path, results: Path, spoil: Callable[[int, Line], Line | None]) -> None:
    """What a provider does with a batch file: each request is answered, in another order, and some come to nothing."""
    done = []
    for place, line in enumerate(lines_of(requests)):
        address = url.removesuffix("/v1") + line["url"]
        sent = urllib.request.Request(address, json.dumps(line["body"]).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(sent, timeout=10) as answer:
            body = json.load(answer)
        result = {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}, "error": None}
        done.append(spoil(place, result))
    written = [json.dumps(result) for result in reversed(done) if result is not None]
    results.write_text("\n".join(written) + "\n\n")


def sound(place: int, result: Line) -> Line | None:
    return result


def test_batch_makes_the_labels_that_asking_makes(call: Call, tmp_path: Path, responses: Path) -> None:
    out, requests, results = tmp_path / "pairs.jsonl", tmp_path / "requests.jsonl", tmp_path / "results.jsonl"
    with JudgeServer() as server:
        own = settings(server.url, out)
        wrote = json.loads(call("judge", "batch", "write", responses, *own, "--requests", requests, "--json").out)
        assert server.requests == []
        # 3 prompts, a couple each, in 2 orders, by 3 criteria
        assert (wrote["requests"], wrote["known"], wrote["on_the_way"]) == (18, 0, 0)
        work_off(server.url, requests, results, sound)
        ended = call("judge", "batch", "read", responses, results, *own, "--price-prompt", "1",
                     "--price-completion", "10", "--json")  # fmt: skip
        asked = len(server.requests)
        direct = call("judge", "label", responses, *settings(server.url, tmp_path / "asked.jsonl"), "--json")
        assert len(server.requests) == 2 * asked
        # What came back through the batch is known to `label` too: nothing is asked again.
        call("judge", "label", responses, *own, "--json")
        assert len(server.requests) == 2 * asked
    summary = json.loads(ended.out)
    assert summary["batch"] == {"replies": 18, "known": 0, "foreign": 0, "failed_requests": {}}
    assert summary["cost"]["usd"] == pytest.approx(18 * 300 / 1e6) and summary["failed"] == 0
    assert json.loads(direct.out)["pairs"] == summary["pairs"] == 3
    assert read_records(out, PreferencePair) == read_records(tmp_path / "asked.jsonl", PreferencePair)


def test_what_failed_is_named_and_only_that_is_written_again(call: Call, tmp_path: Path, responses: Path) -> None:
    out, requests, results = tmp_path / "pairs.jsonl", tmp_path / "requests.jsonl", tmp_path / "results.jsonl"

    def spoil(place: int, result: Line) -> Line | None:
        if place == 0:
            refusal = {"status_code": 400, "body": {"error": {"message": "the context is too long"}}}
            return {**result, "response": refusal}
        if place == 6:
            return {**result, "response": None, "error": {"code": "batch_expired", "message": "too late"}}
        if place == 12:
            return {**result, "response": {"status_code": 200, "body": {"choices": []}}}
        return None if place == 13 else result

    with JudgeServer() as server:
        own = settings(server.url, out)
        call("judge", "batch", "write", responses, *own, "--requests", requests)
        work_off(server.url, requests, results, spoil)
        ended = call("judge", "batch", "read", responses, results, *own, "--json")
        summary = json.loads(ended.out)
        assert summary["batch"]["failed_requests"] == {"refused": 1, "unanswered": 1, "broken_answer": 1}
        assert summary["failed_by_reason"] == {"refused": 1, "unanswered": 1, "broken_answer": 1}
        for part in ("results.jsonl:", "status 400", "too long", "batch_expired", "no chat completion"):
            assert part in ended.err
        second = tmp_path / "second.jsonl"
        more = json.loads(call("judge", "batch", "write", responses, *own, "--requests", second, "--json").out)
        # The line that never came is still on its way; the three that failed are asked again.
        assert (more["requests"], more["known"], more["on_the_way"]) == (3, 14, 1)
        third = tmp_path / "third.jsonl"
        last = call("judge", "batch", "write", responses, *own, "--requests", third, "--again", "--json")
        assert json.loads(last.out)["requests"] == 4
        work_off(server.url, third, results, sound)
        whole = json.loads(call("judge", "batch", "read", responses, results, *own, "--json").out)
    assert whole["failed"] == 0 and whole["pairs"] == 3
    ids = [line["custom_id"] for path in (requests, second) for line in lines_of(path)]
    assert len(set(ids)) == 18 and len(ids) == 21


def test_nothing_is_written_while_all_of_it_is_on_the_way(call: Call, tmp_path: Path, responses: Path) -> None:
    own = settings("http://127.0.0.1:9/v1", tmp_path / "pairs.jsonl")
    first = call("judge", "batch", "write", responses, *own, "--requests", tmp_path / "one.jsonl")
    assert first.code == 0 and "18 requests (0 answered before, 0 on their way" in first.out
    again = call("judge", "batch", "write", responses, *own, "--requests", tmp_path / "two.jsonl")
    assert "nothing to write: 0 requests (0 answered before, 18 on their way" in again.out
    assert not (tmp_path / "two.jsonl").exists()
    other = call("judge", "batch", "write", responses, *own, "--requests", tmp_path / "one.jsonl", "--again")
    assert other.code == 2 and "one.jsonl: is there already" in other.err


def test_large_batches_are_parted(call: Call, tmp_path: Path, responses: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boresight.feedback.batch_files.MOST_REQUESTS", 8)
    own = settings("http://127.0.0.1:9/v1", tmp_path / "pairs.jsonl")
    call("judge", "batch", "write", responses, *own, "--requests", tmp_path / "all.jsonl")
    sizes = [len(lines_of(tmp_path / name)) for name in ("all.jsonl", "all.2.jsonl", "all.3.jsonl")]
    assert sizes == [8, 8, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "none of 0 results answers a question"),
        ('{"custom_id": "another", "response": {"status_code": 200, "body": {}}}\n', "none of 1 results answers"),
        ("<html>\n", "results.jsonl:1: no result of a batch: '<html>'"),
        ('{"response": {}}\n', "results.jsonl:1: no result of a batch"),
        (None, "results.jsonl: cannot be read"),
    ],
)
def test_files_that_hold_no_results_are_named(
    call: Call, tmp_path: Path, responses: Path, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / "results.jsonl").write_text(text)
    own = settings("http://127.0.0.1:9/v1", tmp_path / "pairs.jsonl")
    ended = call("judge", "batch", "read", responses, tmp_path / "results.jsonl", *own)
    assert ended.code == 2 and said in " ".join(ended.told) and not (tmp_path / "pairs.jsonl").exists()
