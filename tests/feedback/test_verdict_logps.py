"""Soft answers from returned log-probabilities: only those at the place of the answer count, whatever the tokens."""

import json
import math
from typing import Any

import pytest

from boresight.feedback.chat_endpoint import Reply, read_reply
from boresight.feedback.verdict_logps import expected_answer
from boresight.feedback.verdicts import SCORE, VERDICT, Form

from .judge_server import answered


def logprobs(*tokens: tuple[str, dict[str, float]]) -> tuple[str, dict[str, Any]]:
    """A reply cut into tokens, each with the probabilities of what could have stood in its place."""
    content = [
        {
            "token": text,
            "logprob": math.log(shares.get(text, 1.0)),
            "top_logprobs": [{"token": other, "logprob": math.log(share)} for other, share in shares.items()],
        }
        for text, shares in tokens
    ]
    return "".join(text for text, _ in tokens), {"content": content}


def test_verdict_is_the_mean_over_the_answers_that_could_have_stood_there() -> None:
    reply = read_reply(answered("verdict", "A", {"A": 0.6, "B": 0.2, "tie": 0.1}).body.decode(), 10)
    # (0.6 * 1 + 0.2 * 0 + 0.1 * 0.5) / 0.9
    assert isinstance(reply, Reply) and reply.expected == pytest.approx(0.65 / 0.9) and reply.mass == pytest.approx(0.9)
    score = read_reply(answered("score", 7, {"7": 0.5, "9": 0.25, "x": 0.2}).body.decode(), 10, SCORE)
    assert score.expected == pytest.approx((7 * 0.5 + 9 * 0.25) / 0.75)


@pytest.mark.parametrize(
    "tokens",
    [
        [('{"rationale": "A", "verdict"', {}), (': "', {}), ("A", {"A": 0.5, "B": 0.25}), ('"}', {})],
        [('{"rationale": "A", "verdict":', {}), (' "A', {' "A': 0.5, ' "B': 0.25, "A": 0.2}), ('"}', {})],
        [('{"rationale": "A", "verdict":', {}), (' "A"}', {' "A"}': 0.5, ' "B"}': 0.25, "B": 0.2})],
    ],
)
def test_tokens_may_be_cut_in_any_way(tokens: list[tuple[str, dict[str, float]]]) -> None:
    reply, given = logprobs(*tokens)
    found = expected_answer(reply, given, VERDICT)
    assert found is not None and found[0] == pytest.approx(2 / 3) and found[1] == pytest.approx(0.75)


def test_answer_of_several_tokens_is_known_by_its_first() -> None:
    reply, given = logprobs(
        ('{"rationale": "", "verdict": "', {}), ("t", {"t": 0.5, "A": 0.3, "the": 0.1}), ("ie", {"ie": 1.0}), ('"}', {})
    )
    assert expected_answer(reply, given, VERDICT) == (pytest.approx((0.25 + 0.3) / 0.8), pytest.approx(0.8))


def test_words_of_the_rationale_are_no_answer() -> None:
    reply, given = logprobs(
        ('{"rationale": "the verdict: ', {}), ("A", {"A": 0.9, "B": 0.1}), ('", "verdict": "', {}),
        ("B", {"B": 0.8, "A": 0.2}), ('"}', {}),
    )  # fmt: skip
    assert expected_answer(reply, given, VERDICT) == (pytest.approx(0.2), pytest.approx(1.0))


@pytest.mark.parametrize("form", [VERDICT, SCORE])
@pytest.mark.parametrize(
    "given",
    [None, [], {}, {"content": None}, {"content": ["x"]}, {"content": [{"token": "other text", "logprob": 0.0}]},
     {"content": [{"token": '{"rationale": "", "verdict": "A"}', "logprob": float("nan")}]}],
)  # fmt: skip
def test_log_probabilities_that_are_none_leave_the_answer_itself(form: Form, given: Any) -> None:
    assert expected_answer('{"rationale": "", "verdict": "A"}', given, form) is None
    body = {"choices": [{"message": {"content": '{"rationale": "", "verdict": "A"}'}, "logprobs": given}]}
    reply = read_reply(json.dumps(body), 10)
    assert reply.expected is None and VERDICT.read(reply.text) == 1.0


def test_reply_without_an_answer_has_no_soft_one() -> None:
    reply, given = logprobs(('{"rationale": "A', {"A": 0.5}))
    assert expected_answer(reply, given, VERDICT) is None
