"""Hashes that hold, and as much work for nobody as for somebody."""

import pytest

from boresight.web.passwords import LONGEST, Passwords
from tests.web.tiny_face import PASSWORDS


def test_a_password_matches_its_own_hash_alone() -> None:
    stored = PASSWORDS.hashed("correct horse")
    assert "correct horse" not in stored and stored.startswith("$argon2id$")
    assert PASSWORDS.match(stored, "correct horse")
    assert not PASSWORDS.match(stored, "correct horsf") and not PASSWORDS.match(stored, "")
    assert PASSWORDS.hashed("correct horse") != stored


def test_nobody_has_a_password() -> None:
    assert not PASSWORDS.match(None, "nobody has this password")
    assert not PASSWORDS.match("not a hash", "not a hash")


def test_for_nobody_the_same_work_is_done() -> None:
    class Counting(Passwords):
        def __init__(self) -> None:
            super().__init__(PASSWORDS._hasher)
            self.checked = 0
            verify = self._hasher.verify

            class Hasher:
                def verify(_, stored: str, given: str) -> bool:
                    self.checked += 1
                    return verify(stored, given)

            self._hasher = Hasher()  # type: ignore[assignment]

    counting = Counting()
    counting.match(None, "anything at all")
    counting.match(PASSWORDS.hashed("correct horse"), "anything at all")
    assert counting.checked == 2


@pytest.mark.parametrize("password", ["short", "x" * (LONGEST + 1)])
def test_too_short_and_too_long_passwords_are_refused(password: str) -> None:
    with pytest.raises(ValueError, match=r"10 to 1024 characters"):
        PASSWORDS.hashed(password)


def test_what_follows_the_longest_password_is_not_ignored() -> None:
    stored = PASSWORDS.hashed("x" * LONGEST)
    assert PASSWORDS.match(stored, "x" * LONGEST) and not PASSWORDS.match(stored, "x" * LONGEST + "y")
