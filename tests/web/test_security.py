"""Headers, host and size: what holds for every answer, also for those that are refusals."""

import pytest
from starlette.testclient import TestClient

from boresight.web.security import CONTENT_POLICY, HEADERS
from tests.web.tiny_face import Book, Clock, log_in, tiny_face

PATHS = ["/open", "/login", "/static/boresight.css", "/nowhere", "/broken", "/mine"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_the_headers(client: TestClient, path: str) -> None:
    answer = client.get(path, follow_redirects=False)
    assert {name for name in HEADERS if name.lower() not in answer.headers} == set()
    assert answer.headers["Content-Security-Policy"] == CONTENT_POLICY


def test_content_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    assert "unsafe" not in CONTENT_POLICY and "*" not in CONTENT_POLICY and "http" not in CONTENT_POLICY
    assert CONTENT_POLICY.startswith("default-src 'none'")


def test_pages_are_not_kept_by_browsers_and_static_files_are_asked_for_again(client: TestClient) -> None:
    assert client.get("/open").headers["Cache-Control"] == "no-store"
    assert client.get("/static/boresight.css").headers["Cache-Control"] == "no-cache"


def test_https_promises_to_stay_so_and_marks_its_cookie(accounts: Book, clock: Clock) -> None:
    client = TestClient(tiny_face(accounts, clock, https=True), base_url="https://testserver")
    answer = client.get("/open")
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-") and "Secure" in cookie


def test_another_host_name_is_refused(client: TestClient) -> None:
    assert client.get("/open", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/open", headers={"Host": "testserver:8080"}).status_code == 200


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_refused_and_changes_nothing(
    client: TestClient, accounts: Book, declared: bool
) -> None:
    log_in(client)
    token = client.get("/open").text
    body = b'{"text": "' + b"x" * 3000 + b'"}'
    content = body if declared else iter([body[:1500], body[1500:]])
    headers = {"X-CSRF-Token": token, "Content-Type": "application/json"}
    answer = client.post("/json", content=content, headers=headers)
    assert answer.status_code == 413 and "2,000 bytes" in answer.json()["error"]
    assert accounts.kept == []


def test_a_body_within_the_limit_is_taken(client: TestClient, accounts: Book) -> None:
    log_in(client)
    token = client.get("/open").text
    assert client.post("/json", json={"text": "x" * 1900}, headers={"X-CSRF-Token": token}).status_code == 200
    assert len(accounts.kept) == 1


@pytest.mark.parametrize("path", ["/static/../pages.py", "/static/%2e%2e/pages.py", "/static/..%2fpages.py"])
def test_static_files_lead_nowhere_else(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404
