"""A real scoring service on the loopback address, which does what a test wants of it."""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple


class Said(NamedTuple):
    """One answer of the server."""

    status: int
    body: str
    headers: Mapping[str, str] = MappingProxyType({})


def scored(scores: list[float], model_hash: str = "a" * 64) -> Said:
    return Said(200, json.dumps({"scores": scores, "model_hash": model_hash}))


def letter_share(request: dict[str, Any]) -> list[float]:
    """The share of a response's characters that are "a"."""
    return [text.count("a") / max(1, len(text)) for text in request["responses"]]


class ScoreServer:
    """Gives the answers in `script` first, one a request, and scores by `rule` after that."""

    def __init__(self, rule: Callable[[dict[str, Any]], list[float]] = letter_share, port: int = 0) -> None:
        self.script: list[Said] = []
        self.requests: list[dict[str, Any]] = []
        self.model_hash = "a" * 64
        self.health: Said | None = Said(200, "{}")
        self.breaks_after: int | None = None
        """Requests that are still answered before it dies in the middle of one."""
        self.rule = rule
        self._port = port
        self._server: ThreadingHTTPServer | None = None
        self._dying: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> "ScoreServer":
        owner = self
        if self._dying is not None:
            self._dying.join()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(owner.health or Said(404, "") if self.path == "/health" else Said(404, ""))

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.requests.append(request)
                if owner.breaks_after is not None and len(owner.requests) > owner.breaks_after:
                    owner._dying = threading.Thread(target=owner.stop)
                    owner._dying.start()
                    self.close_connection = True
                    return
                fallback = scored(owner.rule(request), owner.model_hash)
                self._send(owner.script.pop(0) if owner.script else fallback)

            def _send(self, said: Said) -> None:
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                body = said.body.encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Nobody listens any more; `start` takes the same port again."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
