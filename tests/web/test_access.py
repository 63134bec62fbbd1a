"""Who comes in: by session, by token, by a trusted proxy; and that no route is left without a word about it."""

import ipaddress
from dataclasses import replace

import pytest
from fastapi import APIRouter
from starlette.testclient import TestClient

from boresight.web.access import Role, TrustedProxy, unguarded
from boresight.web.api_tokens import new_token
from boresight.web.rate_limit import RateLimit
from tests.web.tiny_face import Book, Clock, log_in, tiny_face


def test_every_route_of_a_face_names_its_role_or_is_open_on_purpose(accounts: Book, clock: Clock) -> None:
    app = tiny_face(accounts, clock)
    assert unguarded(app) == []

    @app.get("/forgotten")
    def forgotten() -> None: ...

    router = APIRouter(prefix="/part")
    router.get("/forgotten")(forgotten)
    app.include_router(router)
    assert unguarded(app) == ["/forgotten", "/part/forgotten"]


def test_without_an_account_a_program_gets_401_and_a_person_the_login(client: TestClient) -> None:
    assert client.get("/mine").status_code == 401
    answer = client.get("/mine?a=1", headers={"Accept": "text/html"}, follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/login?next=/mine%3Fa%3D1"


@pytest.mark.parametrize(("name", "status"), [("ann", 403), ("rey", 200), ("ada", 200)])
def test_a_role_may_what_the_ones_below_may(client: TestClient, accounts: Book, name: str, status: int) -> None:
    log_in(client, name)
    assert client.get("/mine").json() == {"name": name}
    assert client.get("/review").status_code == status
    assert ("role too low" in accounts.noted) == (status == 403)


def test_an_api_token_opens_without_session_and_without_csrf(client: TestClient, accounts: Book) -> None:
    token = new_token()
    accounts.tokens[token.digest] = "ann"
    headers = {"Authorization": f"Bearer {token.text}"}
    assert client.get("/mine", headers=headers).json() == {"name": "ann"}
    assert client.post("/json", json={"text": "t"}, headers=headers).status_code == 200
    assert accounts.kept == ["t"]


def test_a_wrong_token_is_refused_even_beside_a_session(client: TestClient, accounts: Book) -> None:
    log_in(client)
    answer = client.get("/mine", headers={"Authorization": f"Bearer {new_token().text}"})
    assert answer.status_code == 401 and "wrong API token" in accounts.noted


def test_a_removed_account_is_out_at_once(client: TestClient, accounts: Book) -> None:
    log_in(client)
    del accounts.accounts["ann"]
    assert client.get("/mine").status_code == 401


def test_sessions_from_before_a_change_of_password_are_over(client: TestClient, accounts: Book, clock: Clock) -> None:
    log_in(client)
    clock.now += 10
    accounts.accounts["ann"] = replace(accounts.accounts["ann"], sessions_from=clock.now)
    assert client.get("/mine").status_code == 401
    log_in(client)
    assert client.get("/mine").status_code == 200


def test_the_proxy_header_counts_from_the_proxy_alone(accounts: Book, clock: Clock) -> None:
    proxy = TrustedProxy("X-Forwarded-User", (ipaddress.ip_network("10.0.0.0/8"),))
    app = tiny_face(accounts, clock, proxy=proxy)
    headers = {"X-Forwarded-User": "ada"}
    assert TestClient(app, client=("10.1.2.3", 5)).get("/review", headers=headers).status_code == 200
    assert TestClient(app, client=("192.0.2.1", 5)).get("/review", headers=headers).status_code == 401
    without = tiny_face(accounts, clock)
    assert TestClient(without, client=("10.1.2.3", 5)).get("/review", headers=headers).status_code == 401


def test_the_proxy_header_does_not_replace_the_csrf_token(accounts: Book, clock: Clock) -> None:
    proxy = TrustedProxy("X-Forwarded-User", (ipaddress.ip_network("10.0.0.0/8"),))
    client = TestClient(tiny_face(accounts, clock, proxy=proxy), client=("10.1.2.3", 5))
    assert client.post("/json", json={"text": "t"}, headers={"X-Forwarded-User": "ada"}).status_code == 403
    assert accounts.kept == []


def test_an_account_that_asks_too_often_waits(accounts: Book, clock: Clock) -> None:
    client = TestClient(tiny_face(accounts, clock, api_limit=RateLimit(burst=2, per_second=0.5, clock=clock)))
    log_in(client)
    assert [client.get("/mine").status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/mine").headers["Retry-After"] == "3"
    clock.now += 2
    assert client.get("/mine").status_code == 200


def test_roles_are_ordered() -> None:
    assert Role.ANNOTATOR < Role.REVIEWER < Role.ADMIN
