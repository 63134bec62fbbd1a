"""An identity provider that people log in at (OpenID Connect): authorization code with PKCE, and what its answer says.

OpenID Connect Core 1.0, section 3.1; RFC 7636 (PKCE, S256 alone); RFC 9207 is answered by the check of the issuer in
the ID token. Needs the extra `oidc`.
"""

import base64
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from boresight.errors import ConfigError
from boresight.web.serving import is_loopback

ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
"""Signatures by a key of the provider's. "none" and the HMAC ones, which a client could make, are not among them."""
SECONDS, MOST_BYTES = 10.0, 1 << 20
CLOCK_SLACK = 60
KEYS_REST = 60.0
"""Seconds before the provider's keys are asked for once more because a token names one that is not known."""


class NotIdentified(Exception):  # it is no error of the server: somebody is not let in
    """Why the provider's answer does not say who asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """`claim` is the one that names the account: `email` counts only where the provider has verified it. Without a
    `secret` the client is a public one, which PKCE protects."""

    issuer: str
    client_id: str
    secret: str | None = None
    claim: str = "email"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a log-in under way is known by; it travels with the browser, signed."""

    state: str
    nonce: str
    verifier: str
    next: str

    @classmethod
    def begin(cls, after: str) -> "Attempt":
        """A new one, with secrets of its own; `after` is the page to go on to."""
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), after)


class IdentityProvider:
    """Asks the provider; its addresses and keys are fetched when first needed and kept. Safe between threads."""

    def __init__(self, provider: Provider, *, clock: Callable[[], float] = time.time) -> None:
        _check_address(provider.issuer, "--oidc-issuer")
        self.provider, self._clock = provider, clock
        self._lock = threading.Lock()
        self._metadata: Mapping[str, Any] | None = None
        self._keys: Any = None  # joserfc.jwk.KeySet
        self._keys_at = 0.0

    def address(self, attempt: Attempt, redirect: str) -> str:
        """Where to send the browser."""
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        asked = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": redirect,
            "scope": "openid email profile",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": create_s256_code_challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        start = self._known("authorization_endpoint")
        return f"{start}{'&' if urlsplit(start).query else '?'}{urlencode(asked)}"

    def name_of(self, code: str, attempt: Attempt, redirect: str) -> str:
        """The name of the account that the code stands for. Raises NotIdentified, with why."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": attempt.verifier,
            "client_id": self.provider.client_id,
        }
        answer = _fetch(self._known("token_endpoint"), form=form, headers=self._credentials(form))
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NotIdentified("the provider sent no ID token")
        return self._name(self._claims(token, attempt.nonce))

    def _credentials(self, form: dict[str, str]) -> dict[str, str]:
        """The secret in a header, or in the form for a provider that takes it there alone."""
        if self.provider.secret is None:
            return {}
        known = self._document().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if "client_secret_basic" not in known:
            form["client_secret"] = self.provider.secret
            return {}
        pair = f"{quote(self.provider.client_id, safe='')}:{quote(self.provider.secret, safe='')}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def _claims(self, token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of a token that the provider signed, for us, now, and in answer to this attempt."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        try:
            claims: Mapping[str, Any] = self._decoded(token).claims
            now = self._clock()
            registry = jwt.JWTClaimsRegistry(
                now=int(now),
                leeway=CLOCK_SLACK,
                iss={"essential": True, "value": self.provider.issuer},
                aud={"essential": True, "value": self.provider.client_id},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
            )
            registry.validate(claims)
        except (JoseError, ValueError) as error:
            raise NotIdentified(f"the ID token does not hold ({type(error).__name__})") from error
        if not secrets.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise NotIdentified("the ID token answers another request")
        others = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if others else self.provider.client_id) != self.provider.client_id:
            raise NotIdentified("the ID token was made for another program")
        return claims

    def _decoded(self, token: str) -> Any:
        """By the keys that are known, or, where these do not fit, by those of now: providers exchange them."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        try:
            return jwt.decode(token, self._key_set(fresh=False), algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            if self._clock() - self._keys_at < KEYS_REST:
                raise
        return jwt.decode(token, self._key_set(fresh=True), algorithms=ALGORITHMS)

    def _name(self, claims: Mapping[str, Any]) -> str:
        name = claims.get(self.provider.claim)
        if not isinstance(name, str) or not name or not name.isprintable():
            raise NotIdentified(f"the ID token has no {self.provider.claim}")
        if self.provider.claim == "email" and claims.get("email_verified") is not True:
            raise NotIdentified("the provider has not verified the email address")
        return name

    def _key_set(self, *, fresh: bool) -> Any:
        from joserfc.jwk import KeySet

        address = self._known("jwks_uri")
        with self._lock:
            if self._keys is None or fresh:
                found: Any = _fetch(address)
                self._keys, self._keys_at = KeySet.import_key_set(found), self._clock()
            return self._keys

    def _known(self, name: str) -> str:
        address = self._document().get(name)
        if not isinstance(address, str):
            raise NotIdentified(f"the provider's document has no {name}")
        _check_address(address, name)
        return address

    def _document(self) -> Mapping[str, Any]:
        with self._lock:
            if self._metadata is None:
                found = _fetch(self.provider.issuer.rstrip("/") + "/.well-known/openid-configuration")
                if found.get("issuer") != self.provider.issuer:
                    raise NotIdentified(f"the provider calls itself {found.get('issuer')!r}")
                self._metadata = found
            return self._metadata


def _check_address(address: str, what: str) -> None:
    parts = urlsplit(address)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))):
        raise ConfigError(f"{what} {address!r}: expected an address that begins with https://.")


class _NoRedirects(HTTPRedirectHandler):
    """The secret and the code go to the address that the provider named, and to no other."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def _fetch(
    address: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A JSON object of the provider's. Raises NotIdentified where there is none."""
    request = Request(address, headers={"Accept": "application/json", **(headers or {})})
    if form is not None:
        request.data = urlencode(form).encode()
    opener = build_opener(_NoRedirects, *([ProxyHandler({})] if is_loopback(urlsplit(address).hostname or "") else []))
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            found = json.loads(answer.read(MOST_BYTES))
    except HTTPError as error:
        error.close()
        raise NotIdentified(f"the provider answered {error.code}") from error
    except (URLError, OSError, ValueError) as error:
        raise NotIdentified("the provider cannot be reached, or does not answer in JSON") from error
    if not isinstance(found, dict):
        raise NotIdentified("the provider does not answer as expected")
    return found
