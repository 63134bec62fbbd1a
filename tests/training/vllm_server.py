"""An HTTP double of a vLLM server on the loopback address: it holds to the protocol that it is told to have, loads the
weights that it is sent, and writes responses by them with our own decoder."""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from boresight.models.generate import generate
from boresight.models.loading import load_causal_lm


class Refused(Exception):
    """A request against the protocol."""


class VLLMServer:
    """`failures` answers with 503 come first; `spoil` replaces answers by path."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.asked: Counter[str] = Counter()
        self.completions: list[dict[str, Any]] = []
        self.failures = 0
        self.spoil: dict[str, bytes] = {}
        self.restart()
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    def restart(self) -> None:
        """As after a crash: nothing is set up, and no version known."""
        self.ready = self.paused = self.updating = self.updated = False
        self.version: str | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "VLLMServer":
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(None)

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _answer(self, body: dict[str, Any] | None) -> None:
                status, said = owner.answer(self.path, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *args: Any) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        with self._lock:
            self.asked[path] += 1
            if self.failures > 0:
                self.failures -= 1
                return 503, b"busy"
            if path in self.spoil:
                return 200, self.spoil[path]
            try:
                return 200, json.dumps(self._handle(path, body)).encode()
            except Refused as refusal:
                return 400, json.dumps({"error": str(refusal)}).encode()

    def _handle(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        if path == "/weight_info":
            return {"weight_version": self.version}
        assert body is not None
        if path == "/v1/completions":
            return self._complete(body)
        if path == "/init_weight_transfer_engine":
            self.ready = True
        elif path in ("/pause?mode=wait", "/resume"):
            self.paused = path.startswith("/pause")
        elif path == "/start_weight_update":
            self._require(self.ready and self.paused and not self.updating, "start")
            self.updating, self.updated = True, False
        elif path == "/update_weights":
            folder = Path(body["update_info"]["path"])
            self._require(self.updating and folder.is_absolute() and any(folder.glob("*.safetensors")), "update")
            self.model, self.updated = load_causal_lm(folder).eval(), True
        elif path == "/finish_weight_update":
            self._require(self.updating and self.updated, "finish")
            self.updating, self.version = False, body["weight_version"]
        else:
            raise Refused(f"no such path: {path}")
        return {"message": "done"}

    @staticmethod
    def _require(holds: bool, what: str) -> None:
        if not holds:
            raise Refused(f"{what} out of turn")

    def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
        self._require(not self.paused, "completion")
        self.completions.append(body)
        (found,) = generate(
            self.model, [body["prompt"]], temperatures=[body["temperature"]], max_new_tokens=body["max_tokens"],
            stop_token_ids=body["stop_token_ids"], stop_strings=body["stop"], tokenizer=self.tokenizer, batch_size=1,
            generator=torch.Generator().manual_seed(body["seed"]),
        )  # fmt: skip
        at_token = found.stopped and found.token_ids[-1] in body["stop_token_ids"]
        reason = found.token_ids[-1] if at_token else body["stop"][0] if found.stopped else None
        choice = {
            "index": 0, "text": "", "token_ids": found.token_ids, "logprobs": {"token_logprobs": found.logps},
            "finish_reason": "stop" if found.stopped else "length", "stop_reason": reason,
        }  # fmt: skip
        return {"choices": [choice]}
