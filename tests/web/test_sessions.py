"""The signed cookie: whole, of our making, not too old."""

import stat
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from boresight.errors import ServiceError
from boresight.web.sessions import Session, Sessions, secret_of
from tests.web.tiny_face import Clock


def cookie_of(sessions: Sessions, session: Session) -> str:
    return SimpleCookie(sessions.cookie_header(session))[sessions.cookie].value


def test_a_session_comes_back_from_its_cookie(clock: Clock) -> None:
    sessions = Sessions(b"s" * 32, clock=clock)
    session = sessions.begin("ann")
    assert sessions.read(cookie_of(sessions, session)) == session


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(clock: Clock) -> None:
    header = Sessions(b"s" * 32, clock=clock).cookie_header(Sessions(b"s" * 32, clock=clock).begin())
    assert "HttpOnly" in header and "samesite=lax" in header.lower() and "path=/" in header.lower()


def test_a_changed_cookie_or_one_of_another_key_is_none(clock: Clock) -> None:
    sessions = Sessions(b"s" * 32, clock=clock)
    text = cookie_of(sessions, sessions.begin("ann"))
    middle = len(text) // 3
    changed = text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]
    assert sessions.read(changed) is None and sessions.read(text[:-1]) is None and sessions.read("nonsense") is None
    assert Sessions(b"t" * 32, clock=clock).read(text) is None


@pytest.mark.parametrize(("later", "valid"), [(0, True), (99, True), (101, False), (-59, True), (-61, False)])
def test_a_session_ends_with_its_time(clock: Clock, later: float, valid: bool) -> None:
    sessions = Sessions(b"s" * 32, seconds=100, clock=clock)
    text = cookie_of(sessions, sessions.begin("ann"))
    clock.now += later
    assert (sessions.read(text) is not None) == valid


def test_each_session_has_an_id_and_a_token_of_its_own(clock: Clock) -> None:
    sessions = Sessions(b"s" * 32, clock=clock)
    first, second = sessions.begin("ann"), sessions.begin("ann")
    assert first.id != second.id and first.csrf != second.csrf


def test_the_key_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "secret"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: secret_of(path), range(16)))
    assert len(keys) == 1 and len(keys.pop()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


@pytest.mark.parametrize("key", [b"", b"short"])
def test_a_key_that_anybody_could_guess_is_refused(tmp_path: Path, key: bytes) -> None:
    (tmp_path / "secret").write_bytes(key)
    with pytest.raises(ServiceError, match=rf"secret: holds {len(key)} bytes; expected 32 random ones.*openssl"):
        secret_of(tmp_path / "secret")
