"""The page of a duel: blind, one vote for each turn, and closed to everybody without its link."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from boresight.data.readers import read_pairs
from boresight.feedback.duel import Duel
from boresight.web.duel.pages import LONGEST_MESSAGE, build_duel
from boresight.web.duel.stage import Stage
from boresight.web.link_token import Link
from tests.feedback.test_duel import Parrot
from tests.web.browsing import chromium, served, visit

HARM = "<img src=x onerror=alert(1)>"
LINK = Link("secret", "duel")


class Held(Parrot):
    """Says half of its answer, and the rest once it may."""

    def __init__(self, name: str, go: threading.Event) -> None:
        super().__init__(name)
        self.go = go

    def ask(self, text, show):  # type: ignore[no-untyped-def]  # as the Parrot's
        show("half ")
        assert self.go.wait(20)
        if text == "crash":
            raise RuntimeError("a shape is wrong")
        return super().ask(text, show)


@pytest.fixture
def go() -> threading.Event:
    return threading.Event()


@pytest.fixture
def stage(tmp_path: Path, go: threading.Event) -> Stage:
    sides = Held("model one", go), Held("model two", go)
    return Stage(Duel(sides, ("models/one", "models/two"), tmp_path / "pairs.jsonl", random.Random(1), "browser"))


@pytest.fixture
def client(stage: Stage) -> Iterator[TestClient]:
    with TestClient(build_duel(stage, LINK), base_url="http://127.0.0.1", cookies={"duel": "secret"}) as client:
        yield client


def test_answers_come_by_pieces_and_one_vote_is_kept_for_each_turn(
    client: TestClient, stage: Stage, go: threading.Event, tmp_path: Path
) -> None:
    assert client.post("/vote", json={"key": "1", "turn": 1}).status_code == 409, "nothing was asked"
    assert client.post("/ask", json={"text": " red? "}).json()["phase"] == "answering"
    assert client.post("/ask", json={"text": "again"}).status_code == 409
    assert client.post("/reset").status_code == 409
    go.set()
    stage.wait(20)
    view = client.get("/state").json()
    assert view["phase"] == "voting" and all("heard red?" in reply for reply in view["replies"])
    assert "models/" not in client.get("/state").text + client.get("/").text, "blind"
    assert client.post("/vote", json={"key": "1", "turn": 9}).status_code == 409
    after = client.post("/vote", json={"key": "1", "turn": view["turn"]}).json()
    assert after["phase"] == "asking" and after["written"] == 1
    assert after["messages"][-1] == ["assistant", view["replies"][0]]
    assert client.post("/vote", json={"key": "1", "turn": view["turn"]}).status_code == 409, "sent twice"
    assert len(read_pairs(tmp_path / "pairs.jsonl").pairs) == 1
    assert sorted(one["wins"] for one in client.post("/tally").json()) == [0, 1]
    assert client.post("/reset").json()["messages"] == []


def test_a_model_that_fails_is_told_and_the_talk_goes_on(
    client: TestClient, stage: Stage, go: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    go.set()
    for text, told in (("full", "no room"), ("crash", "server's log")):
        client.post("/ask", json={"text": text})
        stage.wait(20)
        view = client.get("/state").json()
        assert view["phase"] == "asking" and told in view["note"] and view["messages"] == []
    assert "a shape is wrong" in caplog.text


def test_only_who_has_the_link_and_comes_from_the_page_gets_in(stage: Stage, client: TestClient) -> None:
    with TestClient(build_duel(stage, LINK), base_url="http://127.0.0.1") as stranger:
        asked = [("GET", "/"), ("GET", "/state"), *(("POST", path) for path in ("/ask", "/vote", "/reset", "/tally"))]
        for method, path in asked:
            assert stranger.request(method, path, json={"text": "x"}).status_code == 401, path
    for path in ("/ask", "/vote", "/reset", "/tally"):
        other = client.post(path, json={"text": "x"}, headers={"Origin": "http://evil.example"})
        assert other.status_code == 403, path
    assert client.get("/state", headers={"Host": "evil.example"}).status_code == 400
    assert stage.view().turn == 0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/ask", {"text": "  "}, 422),
        ("/ask", {"text": "a" * (LONGEST_MESSAGE + 1)}, 422),
        ("/ask", {"text": "a" * (2 << 20)}, 413),
        ("/ask", {"text": 5}, 422),
        ("/ask", [], 422),
        ("/vote", {"key": "9", "turn": 1}, 422),
        ("/vote", {"key": "1", "turn": 2**70}, 422),
        ("/vote", {"key": "1", "turn": "1"}, 422),
    ],
)
def test_what_is_no_message_and_no_vote_is_refused(
    client: TestClient, stage: Stage, path: str, body: object, status: int
) -> None:
    assert client.post(path, json=body).status_code == status
    assert stage.view().turn == 0


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_two_models_are_compared_by_keys(stage: Stage, go: threading.Event, width: int, scheme: str) -> None:
    app = build_duel(stage, LINK)
    with chromium() as browser, served(app) as address, visit(browser, address, width=width, scheme=scheme) as page:
        tab = page.tab
        tab.goto(f"{address}/?token=secret")
        tab.locator("#text").wait_for()
        page.check()
        tab.keyboard.type(HARM)
        tab.keyboard.press("Control+Enter")
        tab.get_by_text("half").first.wait_for()  # as it is written
        go.set()
        tab.locator("#vote").wait_for()
        page.check()
        tab.reload()  # the server knows where the talk stands
        tab.locator("#vote").wait_for()
        assert tab.locator("#talk img, .candidate img").count() == 0 and HARM in tab.locator("#a").inner_text()
        tab.keyboard.press("2")
        tab.keyboard.press("Enter")
        tab.get_by_text("1 pair written").wait_for()
        tab.locator("#tell").click()
        tab.get_by_text("models/one: preferred").wait_for()
        page.check()
