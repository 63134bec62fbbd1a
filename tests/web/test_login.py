"""In and out: new session, few tries, no hint about which half was wrong, no way to another site."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from boresight.web.login import local_path
from tests.web.tiny_face import Book, Clock, log_in


def test_the_right_password_leads_where_one_wanted_to_go(client: TestClient, accounts: Book) -> None:
    answer = log_in(client, next="/review?x=1")
    assert answer.status_code == 303 and answer.headers["location"] == "/review?x=1"
    assert client.get("/mine").json() == {"name": "ann"} and accounts.noted == ["login"]


def test_the_session_is_another_after_the_login(client: TestClient) -> None:
    before_token = client.get("/open").text
    before = client.cookies["boresight"]
    log_in(client)
    assert client.cookies["boresight"] != before
    assert client.get("/open").text != before_token
    headers = {"X-CSRF-Token": before_token}
    assert client.post("/json", json={"text": "a"}, headers=headers).status_code == 403


def test_the_cookie_from_before_the_login_does_not_become_a_login(client: TestClient) -> None:
    client.get("/open")
    planted = client.cookies["boresight"]
    log_in(client)
    client.cookies.clear()
    client.cookies.set("boresight", planted)
    assert client.get("/mine").status_code == 401


def test_logging_out_ends_it(client: TestClient) -> None:
    log_in(client)
    token = client.get("/open").text
    assert client.post("/logout", data={"csrf_token": token}, follow_redirects=False).status_code == 303
    assert client.get("/mine").status_code == 401


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong password"), ("nobody", "wrong password")])
def test_a_wrong_name_and_a_wrong_password_look_alike(
    client: TestClient, accounts: Book, name: str, password: str
) -> None:
    answer = log_in(client, name, password)
    assert answer.status_code == 403 and "Name or password is wrong." in answer.text
    assert "wrong password" in accounts.noted and password not in answer.text
    assert client.get("/mine").status_code == 401


def test_after_three_wrong_tries_even_the_right_password_waits(
    client: TestClient, accounts: Book, clock: Clock
) -> None:
    for _ in range(3):
        log_in(client, password="wrong password")
    answer = log_in(client)
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 10
    assert "too many logins" in accounts.noted and client.get("/mine").status_code == 401
    clock.now += 11
    assert log_in(client).status_code == 303


def test_one_address_cannot_try_many_names(client: TestClient, clock: Clock) -> None:
    tries = [log_in(client, f"name-{number}", "wrong password").status_code for number in range(7)]
    assert tries == [403] * 6 + [429]
    assert log_in(client).status_code == 429, "the right password too, from this address"
    clock.now += 2
    assert log_in(client).status_code == 303


def test_logging_in_rightly_uses_up_no_tries(client: TestClient) -> None:
    assert [log_in(client).status_code for _ in range(9)] == [303] * 9


def test_a_name_is_shown_again_as_text(client: TestClient) -> None:
    answer = log_in(client, '"><script>alert(1)</script>', "wrong password")
    assert "<script>alert" not in answer.text and "&lt;script&gt;alert" in answer.text


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb", ""]
)
def test_nobody_is_sent_elsewhere(client: TestClient, path: str) -> None:
    assert log_in(client, next=path).headers["location"] == "/mine"


@given(st.text())
def test_a_local_path_stays_on_the_site(text: str) -> None:
    path = local_path(text)
    assert path == "" or (path[0] == "/" and path[1:2] not in ("/", "\\"))
