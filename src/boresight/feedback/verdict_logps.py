"""Soft answers from the log-probabilities that a chat endpoint returns: the judge's own doubt about its answer.

    choice.logprobs = {"content": [{"token", "logprob", "top_logprobs": [{"token", "logprob"} ...]} ...]}

Read is the token with which the answer begins, behind the last key in the reply. Alternatives to it count for an answer
where they begin as the token that was written does and go on with the answer, whole or its beginning.
"""

import math
from collections.abc import Mapping
from typing import Any

from boresight.feedback.verdicts import Form


def expected_answer(reply: str, logprobs: Any, form: Form) -> tuple[float, float] | None:
    """(the answer's mean worth over the probabilities of answers, the probability that all answers have together).

    None where the endpoint gave no log-probabilities, or the reply has no answer of the form to find them for.
    """
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, list) or form.read(reply) is None:
        return None
    places = form.places(reply)
    found = _token_at(content, reply, places[-1][0]) if places else None
    if found is None:
        return None
    token, before = found
    probability: dict[str, float] = {}
    for text, logp in _alternatives(token):
        answer = _answer(text, before, form)
        if answer is not None:
            probability[answer] = probability.get(answer, 0.0) + math.exp(min(logp, 0.0))
    mass = math.fsum(probability.values())
    if mass <= 0.0:
        return None
    return math.fsum(form.values[answer] * share for answer, share in probability.items()) / mass, min(mass, 1.0)


def _token_at(content: list[Any], reply: str, place: int) -> tuple[Mapping[str, Any], str] | None:
    """The token that holds a character of the reply, and what stands before that character inside it."""
    if "".join(str(one.get("token")) if isinstance(one, Mapping) else "" for one in content) != reply:
        return None  # tokens that are not the text, such as those of a thought that was cut off
    start = 0
    for one in content:
        text = str(one["token"])
        if start <= place < start + len(text):
            return one, text[: place - start]
        start += len(text)
    return None


def _alternatives(token: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Tokens that could have stood there with their log-probabilities, the written one among them."""
    listed = token.get("top_logprobs")
    found = {
        str(one["token"]): float(one["logprob"])
        for one in [*(listed if isinstance(listed, list) else []), token]
        if isinstance(one, Mapping)
        and "token" in one
        and isinstance(one.get("logprob"), int | float)
        and math.isfinite(one["logprob"])
    }
    return list(found.items())


def _answer(text: str, before: str, form: Form) -> str | None:
    """The one answer that a token begins or holds; None where it is none of them."""
    if not text.startswith(before):
        return None
    rest = text[len(before) :].lower()
    rest = rest.partition('"')[0] if '"' in rest else rest.rstrip(" ,}\n")
    if not rest:
        return None
    fitting = [answer for answer in form.values if answer.lower().startswith(rest)]
    return fitting[0] if len(fitting) == 1 else None
