"""A web face on a socket: bound before anything is printed, a link that works, an end without a traceback."""

import contextlib
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from ipaddress import ip_address

import uvicorn
from starlette.types import ASGIApp

from boresight.errors import ServiceError

SECONDS_TO_FINISH = 2


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises ServiceError where the address cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        bound = socket.create_server(address[:2], family=family)
    except OSError as error:
        raise ServiceError(
            f"{host}:{port}: cannot listen there ({error.strerror or error}). Another server may have the port: choose "
            "one with --port (0 takes any that is free), or an address of this machine with --host."
        ) from error
    return bound


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to that host."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def link_of(bound: socket.socket, host: str, path: str = "/") -> str:
    """The address to open: the machine's name where the server listens on all of its addresses."""
    shown = socket.gethostname() if host in ("", "0.0.0.0", "::") else host
    shown = f"[{shown}]" if ":" in shown else shown
    return f"http://{shown}:{bound.getsockname()[1]}{path}"


def serve(
    app: ASGIApp,
    bound: socket.socket,
    ready: Callable[[], None] = lambda: None,
    *,
    seconds_to_finish: int = SECONDS_TO_FINISH,
) -> None:
    """Answer requests until Ctrl-C or SIGTERM; `ready` is called once the first request would be answered.

    Requests under way have some seconds to finish. Ctrl-C ends it normally: nothing was lost.
    """
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", server_header=False, ws="none",
        proxy_headers=False, timeout_graceful_shutdown=seconds_to_finish,
    )  # fmt: skip
    server = _Announcing(config, ready)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has shut down by then, and raises the signal once more
        server.run(sockets=[bound])


class _Announcing(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def open_in_browser(link: str) -> None:
    """Open a page without waiting for the browser; where there is none, the printed link has to do."""

    def open_page() -> None:
        if not webbrowser.open(link):
            print("No browser could be opened; use the link above.", file=sys.stderr)

    threading.Thread(target=open_page, daemon=True).start()
