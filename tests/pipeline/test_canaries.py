"""Answers worth nothing before sound judges and before one with a planted bias."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from boresight.feedback.judge import Comparison, Verdict
from boresight.feedback.rule_judge import RuleJudge
from boresight.pipeline.evaluation_stages import CANARY_PROMPTS, judge_canaries
from boresight.pipeline.report import write_report
from boresight.records import Message, Prompt, Response
from boresight.storage import read_json, write_json
from tests.pipeline.test_report import build_run, read_page


def answers(count: int) -> list[Response]:
    """Each prompt wants its own number, and gets it."""
    responses = []
    for i in range(count):
        expect = {"rules": [{"name": "right", "weight": 1.0, "contains": f"number {i:03}."}]}
        prompt = Prompt(id=f"p{i}", messages=(Message("user", f"say {i:03}"),), expect=expect)
        responses.append(
            Response(
                id=f"r{i}",
                prompt=prompt,
                text=f"It is number {i:03}.",
                model="demo",
                temperature=0.0,
                stopped=True,
                tokens=5,
                logp_sum=-1.0,
            )
        )
    return responses


class PrefersShort:
    """A planted bias: the shorter answer wins, whatever it says."""

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        lengths = [(len(c.first.text), len(c.second.text)) for c in comparisons]
        return [Verdict(0.5 if a == b else float(a < b)) for a, b in lengths]


def test_a_sound_judge_rejects_empty_and_constant_answers() -> None:
    found = judge_canaries(answers(30), RuleJudge(), seed=1)
    assert set(found) == {"empty", "constant"}
    for canary in found.values():
        assert (canary["n"], canary["wins"], canary["losses"], canary["beats_baseline"]) == (29, 0, 29, False)
        assert canary["win_rate"] == 0.0 and canary["ci95"][1] < 0.2


def test_a_judge_that_likes_short_answers_is_fooled_by_saying_nothing() -> None:
    found = judge_canaries(answers(30), PrefersShort(), seed=1)
    assert found["empty"]["win_rate"] == 1.0 and found["empty"]["beats_baseline"]
    assert not found["constant"]["beats_baseline"]  # about as long as the others


def test_few_prompts_are_drawn_of_many_and_none_where_there_are_too_few() -> None:
    found = judge_canaries(answers(CANARY_PROMPTS + 20), RuleJudge(), seed=1)
    assert found["empty"]["n"] == CANARY_PROMPTS
    assert judge_canaries(answers(2), RuleJudge(), seed=1) == {}


@pytest.mark.parametrize("fooled", [True, False])
def test_the_report_says_first_that_a_judge_is_fooled(tmp_path: Path, fooled: bool) -> None:
    run = build_run(tmp_path / "run")
    result = run / "stages/compare/result.json"
    canary = {
        "n": 50,
        "win_rate": 0.9,
        "ci95": [0.8, 0.95],
        "wins": 45,
        "losses": 5,
        "ties": 0,
        "beats_baseline": fooled,
    }
    write_json(result, {**read_json(result), "canaries": {"empty": canary}})
    write_report(run)
    said = "Empty answers beat those of demo in 90.0% (80.0–95.0%, n = 50) by the rule judge" in read_page(run).text
    assert said is fooled
