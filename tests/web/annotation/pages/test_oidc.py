"""Logging in at an identity provider of our own, which signs real tokens, and every way in which its answer is none."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("authlib", reason="needs the extra oidc")

from joserfc.jwk import OctKey

from boresight.errors import ConfigError
from boresight.web.access import unguarded
from boresight.web.annotation.events import audit_log
from boresight.web.annotation.pages.app import build_annotation
from boresight.web.annotation.pages.start import identity_provider as provider_of
from boresight.web.oidc import Provider
from tests.web.annotation.pages.conftest import PAGE, Browser, Team
from tests.web.identity_provider import CLIENT, SECRET, Idp, callback, identity_provider, new_key
from tests.web.tiny_face import PASSWORDS


@pytest.fixture(scope="module")
def running() -> Iterator[Idp]:
    with identity_provider() as idp:
        yield idp


@pytest.fixture
def idp(running: Idp) -> Idp:
    running.claims, running.algorithm, running.sign, running.metadata = {}, "RS256", running.keys[0], {}
    del running.keys[1:]
    return running


@pytest.fixture
def joined(make_team: Callable[..., Team], idp: Idp) -> Team:
    team = make_team()
    provider = Provider(issuer=idp.issuer, client_id=CLIENT, secret=SECRET)
    team.app = build_annotation(team.store, b"k" * 32, passwords=PASSWORDS, oidc=provider)
    return team


def away(client: Browser, idp: Idp, after: str = "") -> tuple[str, str]:
    answer = client.get("/login/oidc", params={"next": after}, headers=PAGE)
    assert answer.status_code == 303
    return idp.authorize(answer.headers["location"])


def test_who_has_an_account_comes_in_where_they_were_going(joined: Team, idp: Idp) -> None:
    client = joined.client()
    assert "/login/oidc?next=%2Flabel%2F1" in client.get("/login?next=/label/1").text
    before = client.cookies["boresight"]
    back = client.get(callback(*away(client, idp, "/label/1")), headers=PAGE)
    assert back.status_code == 303 and back.headers["location"] == "/label/1"
    assert client.get("/api/me").json()["name"] == "ann"
    assert client.cookies["boresight"] != before, "a new session: nobody can have fixed it before"
    assert [line["person"] for line in audit_log(joined.store) if line["kind"] == "login"] == ["ann"]
    assert "secret" not in str(idp.seen) and unguarded(joined.app) == []


def test_nobody_is_led_to_another_site(joined: Team, idp: Idp) -> None:
    client = joined.client()
    assert client.get(callback(*away(client, idp, "//evil.example/"))).headers["location"] == "/"


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another time"},
        {"nonce": None},
        {"aud": "another program"},
        {"aud": [CLIENT, "another program"]},
        {"azp": "another program"},
        {"iss": "http://127.0.0.1:1"},
        {"exp": 1_000_000_000},  # 2001
        {"exp": None},
        {"iat": 4_000_000_000},  # 2096
        {"sub": None},
        {"email": None},
        {"email": "nobody we know"},
        {"email": "<script>alert(1)</script>"},
        {"email": ["ann"]},
        {"email_verified": False},
        {"email_verified": "true"},
    ],
    ids=str,
)
def test_a_token_that_says_something_else_lets_nobody_in(joined: Team, idp: Idp, claims: dict[str, Any]) -> None:
    client = joined.client()
    idp.claims = claims
    back = client.get(callback(*away(client, idp)), headers=PAGE)
    assert back.status_code == 403 and "<script>alert" not in back.text
    assert client.get("/api/me").status_code == 401
    assert any(line["kind"] == "refused" and "oidc" in line["body"]["what"] for line in audit_log(joined.store))


def test_a_token_of_another_key_or_without_one_lets_nobody_in(joined: Team, idp: Idp) -> None:
    client = joined.client()
    published = idp.keys[0]
    forged = new_key("one")  # it takes the name of the published key
    by_public_key = OctKey.import_key(published.as_dict(private=False)["n"])  # known to everybody
    for key, algorithm in ((forged, "RS256"), (by_public_key, "HS256")):
        idp.sign, idp.algorithm = key, algorithm
        assert client.get(callback(*away(client, idp))).status_code == 403, algorithm
    assert client.get("/api/me").status_code == 401


def test_a_code_is_bound_to_the_browser_its_state_and_one_use(joined: Team, idp: Idp) -> None:
    client, stranger = joined.client(), joined.client()
    code, state = away(client, idp)
    assert stranger.get(callback(code, state)).status_code == 403, "another browser"
    assert client.get(callback(code, "x" * 32)).status_code == 403, "another state"
    assert client.get(callback("", state)).status_code == 403, "refused at the provider"
    asked = idp.seen.count("/token")
    assert client.get(callback("c" * 5000, state)).status_code == 422
    assert idp.seen.count("/token") == asked, "nothing of this got as far as the provider"
    assert client.get(callback(code, state)).status_code == 303
    assert client.get(callback(code, state)).status_code == 403, "a second time"


def test_a_code_that_another_attempt_was_given_fails_by_its_verifier(joined: Team, idp: Idp) -> None:
    client, thief = joined.client(), joined.client()
    stolen, _ = away(client, idp)
    _, state = away(thief, idp)
    assert thief.get(callback(stolen, state)).status_code == 403
    assert thief.get("/api/me").status_code == 401


def test_tries_that_come_to_nothing_are_limited(joined: Team, idp: Idp) -> None:
    client = joined.client()
    _, state = away(client, idp)
    codes = [client.get(callback("wrong", state)).status_code for _ in range(40)]
    assert set(codes) == {403, 429} and codes[0] == 403 and codes[-1] == 429


def test_keys_that_the_provider_exchanged_are_asked_for_again(
    joined: Team, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = joined.client()
    assert client.get(callback(*away(client, idp))).status_code == 303
    new = new_key("two")
    idp.keys.append(new)
    idp.sign = new
    assert joined.client().get(callback(*away(client, idp))).status_code == 403
    assert client.get(callback(*away(client, idp))).status_code == 403, "not more than once a minute"
    monkeypatch.setattr("boresight.web.oidc.KEYS_REST", 0.0)
    assert client.get(callback(*away(client, idp))).status_code == 303


@pytest.mark.parametrize(
    "metadata", [{"issuer": "https://evil.example"}, {"authorization_endpoint": None}, {"token_endpoint": 5}], ids=str
)
def test_a_provider_whose_document_is_wrong_is_told(joined: Team, idp: Idp, metadata: dict[str, Any]) -> None:
    idp.metadata = metadata
    client = joined.client()
    answer = client.get("/login/oidc", headers=PAGE)
    if "token_endpoint" in metadata:
        answer = client.get(callback(*idp.authorize(answer.headers["location"])), headers=PAGE)
    assert answer.status_code in (403, 502) and "provider" in answer.text


def test_settings_that_would_not_be_safe_are_refused() -> None:
    assert provider_of(None, None, "email", None) is None
    for issuer, client in (("http://id.example.org", "c"), ("id.example.org", "c"), ("https://id.example.org", None)):
        with pytest.raises(ConfigError, match="oidc"):
            provider_of(issuer, client, "email", None)
