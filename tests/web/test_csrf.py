"""What other sites can make a browser send changes nothing."""

import pytest
from starlette.testclient import TestClient

from tests.web.tiny_face import Book, Clock, log_in, tiny_face


@pytest.fixture
def token(client: TestClient) -> str:
    log_in(client)
    return client.get("/open").text


def test_the_token_comes_by_header_or_by_form(client: TestClient, accounts: Book, token: str) -> None:
    assert client.post("/json", json={"text": "a"}, headers={"X-CSRF-Token": token}).status_code == 200
    assert client.post("/form", data={"text": "b", "csrf_token": token}).status_code == 200
    assert accounts.kept == ["a", "b"]


def test_without_the_token_of_this_session_nothing_happens(
    client: TestClient, accounts: Book, clock: Clock, token: str
) -> None:
    other = TestClient(tiny_face(accounts, clock)).get("/open").text
    for given in ("", "nonsense", "é", other):
        assert client.post("/form", data={"text": "b", "csrf_token": given}).status_code == 403
    assert client.post("/form", data={"text": "b"}).status_code == 403
    assert client.post("/json", json={"text": "b", "csrf_token": token}).status_code == 403
    assert accounts.kept == [] and accounts.noted.count("wrong CSRF token") == 6


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_requests_of_other_sites_are_refused_even_with_the_token(
    client: TestClient, accounts: Book, token: str, headers: dict[str, str]
) -> None:
    answer = client.post("/json", json={"text": "a"}, headers={"X-CSRF-Token": token, **headers})
    assert answer.status_code == 403 and accounts.kept == []
    assert "request of another site" in accounts.noted


def test_our_own_origin_is_taken(client: TestClient, accounts: Book, token: str) -> None:
    headers = {"X-CSRF-Token": token, "Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/json", json={"text": "a"}, headers=headers).status_code == 200


def test_a_login_needs_the_token_too(client: TestClient) -> None:
    assert client.post("/login", data={"name": "ann", "password": "correct horse battery"}).status_code == 403
