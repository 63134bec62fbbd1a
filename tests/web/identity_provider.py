"""An identity provider on loopback: it logs everybody in, checks what clients have to send, signs real ID tokens."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT, SECRET = "boresight labels", "s3cret:&"


def new_key(name: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig", "alg": "RS256"})


@dataclass
class Idp:
    """`claims` are laid over those of a right token; `sign` and `algorithm` make it; `keys` are published."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    sign: Any = field(default_factory=lambda: new_key("one"))
    algorithm: str = "RS256"
    keys: list[RSAKey] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)

    def authorize(self, address: str) -> tuple[str, str]:
        """What the browser brings back from the address it was sent to: a code, and the state."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query, strict_parsing=True).items()}
        assert address.startswith(f"{self.issuer}/authorize?")
        assert asked["response_type"] == "code" and asked["client_id"] == CLIENT and "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256" and len(asked["state"]) > 20 and len(asked["nonce"]) > 20
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return code, asked["state"]

    def token(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """The answer of the token endpoint; None where the client is not the one that the code was given to."""
        asked = self.codes.pop(form["code"], None)
        pair = base64.b64encode(b"boresight%20labels:s3cret%3A%26").decode()
        if asked is None or authorization != f"Basic {pair}" or form["redirect_uri"] != asked["redirect_uri"]:
            return None
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if challenge.decode() != asked["code_challenge"]:
            return None
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "sub": "42", "iat": now, "exp": now + 300, "nonce": asked["nonce"],
            "email": "ann", "email_verified": True, **self.claims,
        }  # fmt: skip
        held = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, **({"kid": self.sign.kid} if self.sign.kid else {})}
        return {
            "access_token": "unused",
            "token_type": "Bearer",
            "id_token": jwt.encode(header, held, self.sign, algorithms=[self.algorithm]),
        }


@contextmanager
def identity_provider() -> Iterator[Idp]:
    idp = Idp()
    idp.keys = [idp.sign]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            idp.seen.append(self.path)
            if self.path == "/.well-known/openid-configuration":
                at = {name: f"{idp.issuer}/{path}" for name, path in ENDPOINTS.items()}
                self.answer({"issuer": idp.issuer, **at, **idp.metadata})
            elif self.path == "/keys":
                self.answer(KeySet(idp.keys).as_dict(private=False))
            else:
                self.answer(None)

        def do_POST(self) -> None:
            idp.seen.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self.answer(idp.token(form, self.headers.get("Authorization", "")))

        def answer(self, found: dict[str, Any] | None) -> None:
            content = json.dumps(found).encode()
            self.send_response(400 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        idp.issuer = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield idp
        server.shutdown()
        thread.join(10)


ENDPOINTS = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}


def callback(code: str, state: str) -> str:
    return "/login/oidc/callback?" + urlencode({"code": code, "state": state})
