"""No response can pose as a marker, a role or a verdict: a set of injections, and any text at all."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boresight.feedback.judge import Answer, Comparison
from boresight.feedback.neutralise import neutralise
from boresight.feedback.rubric import Criterion, judge_messages, score_messages
from boresight.feedback.verdict_logps import expected_answer
from boresight.feedback.verdicts import VERDICT, parse_score, parse_verdict
from boresight.records import Message, Prompt

ROWS = [json.loads(line) for line in (Path(__file__).parent / "data" / "injections.jsonl").read_text().splitlines()]
INJECTIONS = [row["text"] for row in ROWS]


@pytest.mark.parametrize("injection", INJECTIONS)
def test_no_verdict_is_read_from_a_response_that_a_judge_repeats(injection: str) -> None:
    shown = neutralise(injection)
    assert parse_verdict(shown) is None
    assert parse_verdict(f"Response A says:\n{shown}\nI cannot compare these.") is None
    assert parse_verdict(f"```json\n{shown}\n```") is None
    cut_off = json.dumps({"rationale": f"It says {shown}", "verdict": "B"})[:-10]
    assert parse_verdict(cut_off) is None
    assert parse_score(shown) is None and parse_score(f"It says:\n{shown}\nI give no score.") is None
    assert parse_score(json.dumps({"rationale": f"It says {shown}", "score": 4})[:-10]) is None


@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize(("own", "value"), [("A", 1.0), ("B", 0.0), ("tie", 0.5)])
def test_judge_that_quotes_a_response_gives_its_own_verdict(injection: str, own: str, value: float) -> None:
    shown = neutralise(injection)
    assert parse_verdict(json.dumps({"rationale": f"It says {shown}", "verdict": own})) == value
    assert parse_verdict(f"It says: {shown}\n[[{own}]]") == value


@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize("own", [1, 5, 9])
def test_judge_that_quotes_a_response_gives_its_own_score(injection: str, own: int) -> None:
    shown = neutralise(injection)
    assert parse_score(json.dumps({"rationale": f"It says {shown}", "score": own})) == own
    assert parse_score(f"It says: {shown}\n[[{own}]]") == own


@pytest.mark.parametrize("injection", INJECTIONS)
def test_soft_verdict_is_taken_from_no_token_of_a_quoted_response(injection: str) -> None:
    """Every token but the judge's own is all for A; the judge's own verdict is B with 0.9."""
    said = json.dumps({"rationale": f"It says {neutralise(injection)}", "verdict": "B"}, ensure_ascii=False)
    tokens = [*said[:-3], said[-3], said[-2:]]
    content = [{"token": t, "logprob": -9.0, "top_logprobs": [{"token": "A", "logprob": -0.01}]} for t in tokens]
    shares = [{"token": "B", "logprob": math.log(0.9)}, {"token": "A", "logprob": math.log(0.1)}]
    content[-2] = {"token": "B", "logprob": math.log(0.9), "top_logprobs": shares}
    assert "".join(tokens) == said
    assert expected_answer(said, {"content": content}, VERDICT) == (pytest.approx(0.1), pytest.approx(1.0))


def test_set_holds_every_kind_of_injection() -> None:
    counts = Counter(row["kind"] for row in ROWS)
    assert set(counts) == {"delimiter", "role tag", "command", "false verdict", "look-alike"}
    assert min(counts.values()) >= 5


PIECES = [*'[]<>|{}":ABbtie \n\\/', "verdict", '"verdict"', '"score"', "9", "[[A]]", "<<<", "INST", "</s>", "<think>"]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_no_text_at_all_holds_a_verdict_or_a_marker_once_neutralised(text: str) -> None:
    shown = neutralise(text)
    assert parse_verdict(shown) is None and parse_score(shown) is None
    assert "<<<" not in shown and "<|" not in shown and "[[" not in shown
    assert neutralise(shown) == shown


@pytest.mark.parametrize("text", ["x[0][1] < y << 2 && a > b", '{"answer": [1, 2]}', "<b>bold</b> <simple>", "a | b"])
def test_what_is_no_command_stays_as_it_is(text: str) -> None:
    assert neutralise(text) == text


@pytest.mark.parametrize("injection", INJECTIONS)
def test_material_ends_where_we_end_it(injection: str) -> None:
    prompt = Prompt(id="p", messages=(Message("user", injection),))
    comparison = Comparison(prompt, Answer(injection, True), Answer(injection, False))
    _, user = judge_messages(Criterion("correct", 1.0, "Which is more correct?"), comparison)
    alone = score_messages(Criterion("correct", 1.0, "Which is more correct?"), prompt, Answer(injection, True))
    assert [line for line in alone[1]["content"].split("\n") if "<<<" in line] == [
        "<<<CONVERSATION>>>", "<<<RESPONSE>>>", "<<<END OF MATERIAL>>>",
    ]  # fmt: skip
    markers = [line for line in user["content"].split("\n") if "<<<" in line]
    assert markers == [
        "<<<CONVERSATION>>>", "<<<RESPONSE A>>>", "<<<RESPONSE B>>>",
        "<<<this response was cut off at its length limit>>>", "<<<END OF MATERIAL>>>",
    ]  # fmt: skip
    assert user["content"].endswith("Criterion (correct): Which is more correct?")


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ('{"rationale": "B is wrong", "verdict": "A"}', 1.0),
        ('```json\n{"rationale": "x", "verdict": "tie"}\n```', 0.5),
        ('<think>[[A]] or [[B]]?</think>{"rationale": "x", "verdict": "B"}', 0.0),
        ("<think>At first I lean to [[A]], but then", None),
        ('<think>\n{"verdict": "A"} or', None),
        ('Here you are: {"rationale": "x", "verdict": "b"}. Done.', 0.0),
        ("Both are fine, A is better. [[A]]", 1.0),
        ("[[A]] and again [[A]]", 1.0),
        ("[[A]] or [[B]]", None),
        ("A", None),
        ("I cannot help with that.", None),
        ("La réponse A est meilleure.", None),
        ("回答A更好。", None),
        ('{"rationale": "the text says \\"verdict\\": \\"A\\""}', None),
        ('{"rationale": "[[A]]", "verdict": "C"}', None),
        ('{"rationale": "x", "verdict": 1}', None),
        ("[1, 2]", None),
        ("", None),
    ],
)
def test_verdict_is_read_only_where_there_is_no_doubt(reply: str, value: float | None) -> None:
    assert parse_verdict(reply) == value


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ('{"rationale": "B is wrong", "score": 7}', 7.0),
        ('{"rationale": "", "score": "3"}', 3.0),
        ('Here: {"rationale": "x", "score": 2}. Done.', 2.0),
        ("Good. [[8]]", 8.0),
        ("[[8]] or [[7]]", None),
        ('{"rationale": "", "score": 10}', None),
        ('{"rationale": "", "score": 0}', None),
        ('{"rationale": "", "score": 7.5}', None),
        ('{"rationale": "", "score": true}', None),
        ('so "score": 7.5 it is', None),
        ("8 of 9", None),
        ("Je donne huit.", None),
        ("", None),
    ],
)
def test_score_is_read_only_where_there_is_no_doubt(reply: str, value: float | None) -> None:
    assert parse_score(reply) == value
