"""Passwords: kept as argon2id hashes, checked in the same time whether or not somebody of that name exists."""

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 10, 1024
"""Characters. The upper bound keeps a megabyte of "password" from being hashed."""


AT_ONCE = 4
"""Hashes computed at the same time: many logins at once must not take all memory."""


class Passwords:
    """Hashes and checks. `hasher` sets the cost; the default is RFC 9106's for little memory (64 MiB)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turn = threading.BoundedSemaphore(AT_ONCE)
        self._of_nobody = self._hasher.hash("nobody has this password")

    def hashed(self, password: str) -> str:
        """The text to store. Raises ValueError for a password that is too short or too long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise ValueError(f"a password has {SHORTEST} to {LONGEST} characters; this one has {len(password)}")
        with self._turn:
            return self._hasher.hash(password)

    def match(self, stored: str | None, given: str) -> bool:
        """Whether a password is the stored one; with None for somebody unknown, False after the same work."""
        try:
            with self._turn:
                right = self._hasher.verify(stored or self._of_nobody, given[:LONGEST])
        except (VerificationError, InvalidHashError):
            return False
        return right and stored is not None and len(given) <= LONGEST
