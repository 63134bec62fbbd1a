"""Sockets and links."""

import socket

import pytest

from boresight.errors import ServiceError
from boresight.web.serving import bind, is_loopback, link_of


def test_a_free_port_is_taken_and_told() -> None:
    with bind("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        assert link_of(bound, "127.0.0.1", "/a") == f"http://127.0.0.1:{port}/a"
        assert link_of(bound, "::1") == f"http://[::1]:{port}/"
        assert link_of(bound, "0.0.0.0") == f"http://{socket.gethostname()}:{port}/"


def test_a_taken_port_is_refused_with_what_to_do() -> None:
    with bind("127.0.0.1", 0) as bound, pytest.raises(ServiceError, match=r"cannot listen.*--port"):
        bind("127.0.0.1", bound.getsockname()[1])


def test_a_host_that_is_not_of_this_machine_is_refused() -> None:
    with pytest.raises(ServiceError, match=r"192\.0\.2\.1:0: cannot listen"):
        bind("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("localhost.evil.example", False), ("", False)],
)  # fmt: skip
def test_loopback_is_what_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback
