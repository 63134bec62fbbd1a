"""Personal data and secrets are counted, never shown."""

import json

import pytest

from boresight.data.lint.personal import kinds_in
from boresight.data.lint.run import lint
from tests.data.lint.making import pair


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("write to anna.berg@mail.ethz.ch today", ["email"]),
        ("call (212) 555-0187 or 212-555-0187", ["phone"]),
        ("call +41 44 555 01 87", ["phone"]),
        ("key sk-abcdefghijklmnopqrstuvwx", ["key"]),
        ("-----BEGIN RSA PRIVATE KEY-----", ["key"]),
        ("write to user@example.com", []),
        ("on 2024-11-24 at 10:30, port 8080, 10.0.0.1:30080", []),
        ("the sum is 1234567890", []),
        ("kubectl get pods -n shop", []),
    ],
)
def test_kinds(text: str, kinds: list[str]) -> None:
    assert list(kinds_in(text)) == kinds


def test_nothing_of_what_is_found_stands_in_the_findings() -> None:
    done = lint({"data": [pair(1, "mail anna.berg@mail.ethz.ch", "sk-abcdefghijklmnopqrstuvwx", "b")]})
    told = json.dumps([finding.as_json() for finding in done.findings])
    assert "personal_data" in told and "secret_key" in told
    assert "anna" not in told and "abcdef" not in told
