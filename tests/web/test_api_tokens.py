"""Tokens: seen once, found by their hash."""

import hashlib

import pytest

from boresight.web.api_tokens import digest_of, new_token


def test_a_token_is_found_by_its_hash_and_shows_its_prefix() -> None:
    token = new_token()
    assert token.digest == digest_of(token.text) == hashlib.sha256(token.text.encode()).hexdigest()
    assert token.text.startswith(token.prefix + "_") and len(token.text) - len(token.prefix) > 40
    assert token.text not in token.digest


def test_tokens_differ() -> None:
    assert len({new_token().digest for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "text", ["", "bst_", "bst_abcdefgh_short", "'; drop table tokens; --", "bst_abcdefgh_" + "é" * 43]
)
def test_what_is_no_token_is_not_looked_up(text: str) -> None:
    assert digest_of(text) is None
