"""The service on loopback: equal scores, refusals that say what to do, nothing lost."""

import asyncio
import json
import re
import threading
from typing import Any

import httpx2
import pytest
from starlette.exceptions import HTTPException

from boresight.errors import ServiceError
from boresight.feedback.score_client import ScoreClient
from boresight.models.roles import RewardModel
from boresight.records import Messages
from boresight.web.reward_service.limits import Limits
from boresight.web.reward_service.model import ServedModel
from boresight.web.reward_service.service import Scoring, question_in

from .served import asked, running

CLOSE = 1e-5


def scoring(model: ServedModel | None, **limits: Any) -> Scoring:
    made = Scoring(Limits(**limits))
    if model is not None:
        made.serve(model)
    return made


def body(prompts: list[Messages], responses: list[str]) -> dict[str, Any]:
    return {
        "prompts": [[{"role": message.role, "content": message.content} for message in prompt] for prompt in prompts],
        "responses": responses,
    }


def in_process(model: RewardModel, prompts: list[Messages], responses: list[str]) -> list[float]:
    """Each by itself, so that batches of neither side matter."""
    return [float(model.score([p], [r])) for p, r in zip(prompts, responses, strict=True)]


def test_scores_are_those_of_the_model_in_this_process_to_the_bit_one_by_one_and_close_in_batches(
    served_model: ServedModel, reward_model: RewardModel
) -> None:
    prompts, responses = asked(30)
    expected = in_process(reward_model, prompts, responses)
    assert max(expected) - min(expected) > 1000 * CLOSE  # they differ: an order mixed up would be seen
    with running(scoring(served_model)) as url:
        client = ScoreClient(url, 60.0, 0.0)
        client.wait_until_ready()
        singly = [client.score([p], [r]).scores[0] for p, r in zip(prompts, responses, strict=True)]
        together = client.score(prompts, responses)
        assert client.score([], []).scores == []
    assert singly == expected
    assert together.scores == pytest.approx(expected, abs=CLOSE)
    assert together.model_hash == served_model.hash and len(together.model_hash) == 64


@pytest.mark.slow
def test_a_thousand_requests_at_once_are_all_answered(served_model: ServedModel, reward_model: RewardModel) -> None:
    prompts, responses = asked(1000)
    expected = [float(score) for score in reward_model.score(prompts, responses)]
    made = scoring(served_model)

    async def ask_all(url: str) -> list[httpx2.Response]:
        limits = httpx2.Limits(max_connections=1000)
        async with httpx2.AsyncClient(base_url=url, timeout=120.0, limits=limits, trust_env=False) as client:
            asking = [client.post("/score", json=body([p], [r])) for p, r in zip(prompts, responses, strict=True)]
            return await asyncio.wait_for(asyncio.gather(*asking), 120.0)

    with running(made) as url:
        answers = asyncio.run(ask_all(url))
        metrics = httpx2.get(f"{url}/metrics", trust_env=False).text
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.json()["scores"][0] for answer in answers] == pytest.approx(expected, abs=CLOSE)
    assert 'boresight_reward_requests_total{status="200"} 1000\n' in metrics
    assert "boresight_reward_responses_total 1000\n" in metrics and "boresight_reward_held_responses 0\n" in metrics
    (batches,) = re.findall(r"^boresight_reward_batches_total (\d+)$", metrics, flags=re.MULTILINE)
    assert int(batches) < 500


class Held:
    """A model that computes when it is told to."""

    def __init__(self, model: ServedModel) -> None:
        self.hash, self.rows, self._scores = model.hash, model.rows, model.scores
        self.go = threading.Event()

    def scores(self, rows: Any) -> list[float]:
        assert self.go.wait(60)
        return self._scores(rows)


def test_overload_is_refused_at_once_with_a_time_to_come_again_and_what_was_accepted_is_answered(
    served_model: ServedModel,
) -> None:
    held = Held(served_model)
    prompts, responses = asked(1)

    async def ask(url: str) -> tuple[list[httpx2.Response], list[httpx2.Response]]:
        async with httpx2.AsyncClient(base_url=url, timeout=60.0, trust_env=False) as client:
            asking = [asyncio.create_task(client.post("/score", json=body(prompts, responses))) for _ in range(20)]
            refused, accepted = [], []
            while len(refused) < 12:  # the model stands still: whoever answers now was refused
                done, _ = await asyncio.wait(set(asking) - set(refused), return_when=asyncio.FIRST_COMPLETED)
                refused += done
            held.go.set()
            accepted = await asyncio.gather(*(task for task in asking if task not in refused))
            return [task.result() for task in refused], accepted

    with running(scoring(held, waiting_responses=8)) as url:  # type: ignore[arg-type]
        refused, accepted = asyncio.run(ask(url))
    assert [answer.status_code for answer in refused] == [429] * 12
    assert all(1 <= int(answer.headers["Retry-After"]) <= 30 for answer in refused)
    assert [answer.status_code for answer in accepted] == [200] * 8


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"{", 422, "cannot be read"),
        (b'{"prompts": [], "responses": ["a"]}', 422, "0 prompts for 1 response"),
        (b'{"prompts": [[{"role": "robot", "content": "go"}]], "responses": ["a"]}', 422, "prompts.0.0.role"),
        (b'{"prompts": [], "responses": [], "model": "x"}', 422, "model: Extra inputs"),
        (json.dumps(body(*asked(5))).encode(), 413, "5 responses in one request; at most 4"),
        (json.dumps({"prompts": [[]], "responses": ["a" * 3000]}).encode(), 413, "larger than 2,000 bytes"),
        (
            json.dumps({"prompts": [[{"role": "user", "content": "go"}]], "responses": ["word " * 60]}).encode(),
            400, r"response 0: with its prompt it has \d+ tokens .* at most 256",
        ),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_answered_is_told_why(
    served_model: ServedModel, sent: bytes, status: int, said: str
) -> None:
    made = scoring(served_model, request_responses=4, body_bytes=2000)
    with running(made) as url:
        answer = httpx2.post(
            f"{url}/score", content=sent, headers={"Content-Type": "application/json"}, trust_env=False
        )
    assert answer.status_code == status
    assert re.search(said, answer.json()["error"])


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_a_web_page_could_send_unasked_is_refused(kind: str) -> None:
    with pytest.raises(HTTPException) as refused:
        question_in(kind, b'{"prompts": [], "responses": []}')
    assert refused.value.status_code == 415 and "expected application/json" in refused.value.detail
    assert question_in("Application/JSON; charset=utf-8", b'{"prompts": [], "responses": []}').responses == []


def test_before_the_model_is_there_the_process_is_alive_and_not_ready(served_model: ServedModel) -> None:
    made = scoring(None)
    with running(made) as url:
        assert httpx2.get(f"{url}/health", trust_env=False).status_code == 200
        ready = httpx2.get(f"{url}/ready", trust_env=False)
        asking = httpx2.post(f"{url}/score", json=body(*asked(1)), trust_env=False)
        assert (ready.status_code, asking.status_code) == (503, 503) and asking.headers["Retry-After"] == "5"
        with pytest.raises(ServiceError, match=r"out of reach .status 503"):
            ScoreClient(url, 5.0, 0.0).wait_until_ready()
        made.serve(served_model)
        assert httpx2.get(f"{url}/ready", trust_env=False).json()["model_hash"] == served_model.hash


def test_scores_are_for_those_alone_who_have_the_token(
    served_model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts, responses = asked(2)
    with running(scoring(served_model), token="correct-horse") as url:
        client = ScoreClient(url, 30.0, 0.0)
        client.wait_until_ready()
        with pytest.raises(ServiceError, match=r"status 401: .*bearer token is needed"):
            client.score(prompts, responses)
        monkeypatch.setenv("BORESIGHT_REWARD_TOKEN", "correct-pony")
        with pytest.raises(ServiceError, match="status 401"):
            client.score(prompts, responses)
        monkeypatch.setenv("BORESIGHT_REWARD_TOKEN", "correct-horse")
        assert len(client.score(prompts, responses).scores) == 2
        assert 'status="401"} 2\n' in httpx2.get(f"{url}/metrics", trust_env=False).text


def test_a_name_that_is_not_of_this_machine_is_refused(served_model: ServedModel) -> None:
    with running(scoring(served_model)) as url:
        answer = httpx2.get(f"{url}/health", headers={"Host": "evil.example"}, trust_env=False)
    assert answer.status_code == 400
