"""One request to an OpenAI-compatible chat endpoint, and the name of everything that can go wrong with it.

    POST {base_url}/chat/completions   {"model", "messages", "temperature", "max_tokens", ...}
      -> {"choices": [{"message": {"content": text}, "finish_reason"}], "usage": {"prompt_tokens", "completion_tokens"}}

The standard library is enough: no package of the core speaks HTTP, a judge needs no more than this one request, and
what an SDK would retry or follow by itself is exactly what must be in hand here. Redirects are not followed, so that
the key goes nowhere but to the address that was given.
"""

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from boresight.errors import JudgeError
from boresight.feedback.score_client import retry_after
from boresight.feedback.verdict_logps import expected_answer
from boresight.feedback.verdicts import VERDICT, Form

TRANSIENT = (408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529)
OVERLOADED = (429, 503, 529)
"""Answers that ask for fewer requests at once."""
LARGEST_ANSWER = 4 * 2**20  # bytes
TOP_LOGPROBS = 20  # the most that OpenAI gives
SHOWN = 160  # characters of an answer that a message quotes
CHARACTERS_PER_TOKEN = 4  # of English text, where the endpoint counts no tokens
HIDDEN = "[the API key]"

Messages = Sequence[Mapping[str, str]]


class Reply(NamedTuple):
    """What the judge said, and its cost in tokens (estimated from characters where the endpoint counts none).

    `expected`: what its answer is worth on average over the log-probabilities of the answer's tokens, and `mass`: how
    much probability they have of all; None where there are none.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    counted: bool
    expected: float | None = None
    mass: float | None = None


class OutOfReachError(Exception):
    """It may pass: no connection, a timeout, too many requests. `wait`: what Retry-After asks for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None, *, overloaded: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.overloaded = wait, overloaded


class BrokenAnswerError(Exception):
    """An answer that is no chat completion: HTML, empty, cut off, without end."""


class RefusedRequestError(Exception):
    """This one request is not taken, and would not be the next time either."""


@dataclass(slots=True)
class ChatEndpoint:
    """`key_variable` names the environment variable with the API key: the key itself is held nowhere, is asked for at
    each request, and is taken out of everything that comes back."""

    base_url: str
    model: str
    temperature: float = 0.0
    max_tokens: int = 512
    timeout: float = 60.0
    key_variable: str = "OPENAI_API_KEY"
    structured: bool = True
    """Ask for the JSON schema of an answer; turned off for good when the endpoint says that it knows none."""
    logprobs: bool = False
    """Ask for the log-probabilities of the answer's tokens."""
    limit_name: str = "max_tokens"
    """What the limit of a reply is called; some models insist on `max_completion_tokens`, and say so."""

    def __post_init__(self) -> None:
        """Raises JudgeError for a `base_url` that is no address, or holds a secret."""
        parts = urllib.parse.urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise JudgeError(
                f"base_url is {self.base_url!r}; expected http:// or https:// with a host and the path of the "
                "API, such as http://127.0.0.1:8000/v1."
                " Correct it."
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise JudgeError(
                f"base_url: an address on {parts.hostname} with a user, password, query or fragment; expected none, as "
                f"addresses are written into reports. Put the key into the environment variable {self.key_variable}."
            )
        self.base_url = self.base_url.rstrip("/")

    def identity(self) -> dict[str, Any]:
        """What decides a reply, besides the messages: part of the key under which it is kept."""
        decides = {
            "base_url": self.base_url, "model": self.model, "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }  # fmt: skip
        return decides | ({"logprobs": True} if self.logprobs else {})

    def body(self, messages: Messages, sample: int, form: Form | None = VERDICT) -> dict[str, Any]:
        """What is sent; `form` is that of the answer, or None for free text."""
        body: dict[str, Any] = {
            "model": self.model, "messages": list(messages), "temperature": self.temperature,
            self.limit_name: self.max_tokens,
        }  # fmt: skip
        if self.temperature > 0:
            body["seed"] = sample
        if self.structured and form is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": form.schema}
        if self.logprobs and form is not None:
            body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        return body

    def ask(self, messages: Messages, sample: int, form: Form | None = VERDICT) -> Reply:
        """One request. Raises OutOfReachError, BrokenAnswerError or RefusedRequestError, and JudgeError where no
        request at all can succeed (key, address, model, credit)."""
        sent = self.structured, self.limit_name
        try:
            text = self._post(json.dumps(self.body(messages, sample, form)).encode("utf-8"))
        except RefusedRequestError as refusal:
            if "response_format" in str(refusal) or "json_schema" in str(refusal):
                self.structured = False
            elif "max_completion_tokens" in str(refusal):
                self.limit_name = "max_completion_tokens"
            if sent != (self.structured, self.limit_name):
                return self.ask(messages, sample, form)
            raise
        return read_reply(text, sum(len(m["content"]) for m in messages), form)

    def _post(self, body: bytes) -> str:
        key = self._key()
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "boresight"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.base_url}/chat/completions", data=body, headers=headers)
        try:
            status, said, wait = self._exchange(request)
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", None) or error) or type(error).__name__
            raise OutOfReachError(_hidden(reason, key)) from None
        if status != 200:
            self._raise_for(status, _hidden(said, key), wait)
        return _hidden(said, key)

    def _key(self) -> str:
        key = os.environ.get(self.key_variable, "").strip()
        if not (key.isascii() and (key.isprintable() or not key)):
            raise JudgeError(
                f"the environment variable {self.key_variable} holds characters that no key has (line breaks or "
                "letters beyond ASCII). Set it anew."
            )
        return key

    def _exchange(self, request: urllib.request.Request) -> tuple[int, str, str | None]:
        """Status, body and Retry-After of the answer, whatever its status."""
        ends = time.monotonic() + self.timeout
        try:
            with _OPENER.open(request, timeout=self.timeout) as answer:
                return 200, self._read(answer, ends), None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, self._read(error, ends), error.headers.get("Retry-After")

    def _read(self, answer: Any, ends: float) -> str:
        """All of an answer, but no more than fits the time and LARGEST_ANSWER."""
        parts: list[bytes] = []
        size = 0
        while part := answer.read1(65536):
            parts.append(part)
            size += len(part)
            if size > LARGEST_ANSWER or time.monotonic() > ends:
                raise BrokenAnswerError(
                    f"an answer without end ({size:,} bytes, the limits are {self.timeout:g} s and "
                    f"{LARGEST_ANSWER:,} bytes)"
                )
        return b"".join(parts).decode("utf-8", errors="replace")

    def _raise_for(self, status: int, said: str, wait: str | None) -> None:
        where, quote = f"{self.base_url} (model {self.model})", quoted(said)
        if status == 401 or status == 403:
            raise JudgeError(
                f"{where}: status {status}, the key is missing, wrong or not allowed this model: {quote}. Put a valid "
                f"key into the environment variable {self.key_variable} and give the same command again."
            )
        if status == 402 or (status == 429 and "insufficient_quota" in said):
            raise JudgeError(f"{where}: status {status}, no credit is left: {quote}. Pay in, then go on with the same "
                             "command.")  # fmt: skip
        if status == 404 or 300 <= status < 400:
            raise JudgeError(
                f"{where}: status {status}, there is no chat API at {self.base_url}/chat/completions or no such model: "
                f"{quote}. base_url ends where /chat/completions begins (often in /v1); check the model's name."
            )
        if status in TRANSIENT:
            raise OutOfReachError(f"status {status}: {quote}", retry_after(wait), overloaded=status in OVERLOADED)
        raise RefusedRequestError(f"status {status}: {quote}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


def read_reply(text: str, prompt_characters: int, form: Form | None = VERDICT) -> Reply:
    """The reply in the body of an answer. Raises BrokenAnswerError, saying what stood there instead."""
    stripped = text.strip()
    if not stripped:
        raise BrokenAnswerError("an empty answer")
    try:
        answer: Any = json.loads(stripped)
    except (ValueError, RecursionError):
        kind = "a web page (HTML)" if stripped[:200].lower().startswith(("<!doctype", "<html")) else "no JSON"
        if stripped.startswith("{"):
            kind = "JSON that is cut off or broken"
        raise BrokenAnswerError(f"{kind}: {quoted(stripped)}") from None
    try:
        choice = answer["choices"][0]
        content = choice["message"].get("content")
        refusal = choice["message"].get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise BrokenAnswerError(f"no chat completion: {quoted(stripped)}") from None
    said = content if isinstance(content, str) else refusal if isinstance(refusal, str) else ""
    usage = answer.get("usage")
    counts = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    spent = [count for count in counts if isinstance(count, int) and not isinstance(count, bool) and count >= 0]
    known = len(spent) == len(counts)
    prompt, completion = spent if known else (tokens_of(prompt_characters), tokens_of(len(said)))
    soft = expected_answer(said, choice.get("logprobs"), form) if form is not None else None
    kept = said.encode("utf-8", "replace").decode()  # half of a surrogate pair, where a character was cut in two
    return Reply(kept, str(choice.get("finish_reason") or ""), prompt, completion, known, *(soft or ()))


def tokens_of(characters: int) -> int:
    """About how many tokens a text has, where nobody counted them."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def _hidden(text: str, key: str) -> str:
    return text.replace(key, HIDDEN) if key else text


def quoted(text: str) -> str:
    """The beginning of a text on one line, for messages."""
    words = " ".join(text.split())
    return repr(words if len(words) <= SHOWN else f"{words[:SHOWN]}…") if words else "(nothing)"
