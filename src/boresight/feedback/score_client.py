"""Scores from a service over HTTP: it is asked again while it is out of reach, and never believed unread.

The contract:

    GET  /ready  -> 200                                              it is ready; where there is none (404):
    GET  /health -> 200                                              it is ready (404 counts as ready, too)
    POST /score  {"prompts": [[{"role", "content"}...]...], "responses": [text...]}
              -> {"scores": [number...], "model_hash": text}         one score a response, in order

A refused connection, a timeout and the statuses 408, 425, 429, 500, 502, 503 and 504 are tried again, with waits of 1
to 30 seconds or as long as Retry-After says, for as long as patience lasts. Anything else that is no answer of this
form is a fault of the service, told at once.
"""

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from boresight.errors import ServiceError
from boresight.records import Messages

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds
FAILURES_TO_OPEN = 3
"""Failures in a row after which scores are asked for only where the service says that it is ready."""
TOKEN_VARIABLE = "BORESIGHT_REWARD_TOKEN"
SHOWN = 120  # characters of an answer that a message quotes


class Scored(NamedTuple):
    """One score a response, in order, and which model gave them."""

    scores: list[float]
    model_hash: str


class _OutOfReachError(Exception):
    """A failure that may pass; `wait` is what Retry-After asks for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class ScoreClient:
    """`patience`: seconds for which one request is tried again before ServiceError; clock and sleep are those of the
    system but in tests."""

    url: str
    timeout: float
    patience: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait_until_ready(self) -> None:
        """Return once the service answers. Raises ServiceError where it does not while patience lasts."""
        self._patiently(lambda failures: self._require_ready())

    def score(self, prompts: Sequence[Messages], responses: Sequence[str]) -> Scored:
        """One request. Raises ServiceError for a service out of reach and for an answer that breaks the contract; a
        score may still be infinite or NaN."""
        body = {
            "prompts": [[{"role": m.role, "content": m.content} for m in messages] for messages in prompts],
            "responses": list(responses),
        }
        sent = json.dumps(body).encode("utf-8")

        def ask(failures: int) -> str:
            if failures >= FAILURES_TO_OPEN:
                self._require_ready()
            return self._ask("/score", sent)

        return self._read(self._patiently(ask), len(responses))

    def _require_ready(self) -> str:
        return self._ask("/ready", None) or self._ask("/health", None)

    def _patiently(self, ask: Callable[[int], str]) -> str:
        """What `ask` returns, which is given the number of failures so far."""
        started, wait, tries = self.clock(), FIRST_WAIT, 0
        while True:
            tries += 1
            try:
                return ask(tries - 1)
            except _OutOfReachError as fault:
                pause = wait if fault.wait is None else max(FIRST_WAIT, fault.wait)
                waited = self.clock() - started
                if waited + pause > self.patience:
                    raise ServiceError(
                        f"{self.url}: the reward service is out of reach ({fault}; {tries} tries in {waited:.0f} s). "
                        "Nothing is lost: start the service again and give the same command, which goes on from here. "
                        "patience_seconds says how long to wait."
                    ) from fault
                self.sleep(pause)
                wait = min(2.0 * wait, LONGEST_WAIT)

    def _ask(self, path: str, body: bytes | None) -> str:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data=body, headers=headers)
        if token := os.environ.get(TOKEN_VARIABLE):
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                return str(answer.read().decode("utf-8", errors="replace"))
        except urllib.error.HTTPError as error:
            with error:
                if body is None and error.code == 404:
                    return ""  # a service without this question
                if error.code in TRANSIENT:
                    reason = f"status {error.code}"
                    raise _OutOfReachError(reason, retry_after(error.headers.get("Retry-After"))) from error
                said = error.read().decode("utf-8", errors="replace")
            raise self._broken(f"status {error.code}: {_quoted(said)}") from error
        except (OSError, http.client.HTTPException) as error:  # no connection, cut off, no answer in time
            raise _OutOfReachError(str(getattr(error, "reason", None) or error) or type(error).__name__) from error

    def _read(self, text: str, wanted: int) -> Scored:
        try:
            answer: Any = json.loads(text)
        except ValueError as error:
            raise self._broken(f"no JSON: {_quoted(text)}") from error
        scores = answer.get("scores") if isinstance(answer, dict) else None
        if not isinstance(scores, list) or not all(
            isinstance(score, int | float) and not isinstance(score, bool) for score in scores
        ):
            raise self._broken(f'no list of numbers under "scores": {_quoted(text)}')
        if len(scores) != wanted:
            raise self._broken(f"{len(scores)} scores for {wanted} responses")
        model_hash = answer.get("model_hash")
        if not isinstance(model_hash, str) or not model_hash:
            raise self._broken(f'no text under "model_hash": {_quoted(text)}')
        return Scored([float(score) for score in scores], model_hash)

    def _broken(self, found: str) -> ServiceError:
        return ServiceError(
            f"{self.url}: the reward service answered otherwise than agreed ({found}). Expected "
            '{"scores": [one number a response], "model_hash": text}. Mend it and give the same command, which goes on '
            "from here."
        )


def retry_after(value: str | None) -> float | None:
    """Seconds that the header asks for: a number of them or a date; None where it says nothing that can be read."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _quoted(text: str) -> str:
    words = " ".join(text.split())
    return repr(words if len(words) <= SHOWN else f"{words[:SHOWN]}…")
