"""Tokens for programs: shown once when made, stored only as a hash, recognised by a prefix that may be seen."""

import hashlib
import re
import secrets
from typing import NamedTuple

FORM = re.compile(r"bst_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}")


class NewToken(NamedTuple):
    """`text` is for its owner alone; `prefix` and `digest` are what is stored."""

    text: str
    prefix: str
    digest: str


def new_token() -> NewToken:
    """A token with 256 random bits."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    prefix = "bst_" + "".join(secrets.choice(alphabet) for _ in range(8))
    text = f"{prefix}_{secrets.token_urlsafe(32)}"
    return NewToken(text, prefix, _digest(text))


def digest_of(text: str) -> str | None:
    """What a given token is looked up by; None for a text that is no token.

    A plain hash is enough here: unlike a password, a token of 256 random bits cannot be guessed from its hash.
    """
    return _digest(text) if FORM.fullmatch(text) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
