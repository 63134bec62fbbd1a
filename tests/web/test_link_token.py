"""The link that lets in, once with its token and then by cookie."""

import pytest
from starlette.testclient import TestClient

from boresight.web.link_token import Link
from boresight.web.shell import build_shell


@pytest.fixture
def client() -> TestClient:
    app = build_shell("linked", hosts=("testserver",), link=Link("right-token", "boresight_linked"))

    @app.get("/")
    def start(a: str = "") -> dict[str, str]:
        return {"a": a}

    return TestClient(app)


@pytest.mark.parametrize("path", ["/", "/?token=wrong", "/?token=", "/nowhere", "/?token=é"])
def test_without_the_token_nothing_is_shown(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 401 and "link" in answer.json()["error"]
    assert "Content-Security-Policy" in client.get(path).headers


def test_the_token_moves_from_the_address_into_a_cookie(client: TestClient) -> None:
    answer = client.get("/?a=1&token=right-token&b=2", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/?a=1&b=2"
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert client.get("/?a=1").json() == {"a": "1"}


def test_a_wrong_cookie_is_refused(client: TestClient) -> None:
    client.cookies.set("boresight_linked", "wrong")
    assert client.get("/").status_code == 401
