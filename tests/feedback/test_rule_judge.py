from typing import Any

import pytest

from boresight.errors import DataError
from boresight.feedback.judge import Answer, Comparison
from boresight.feedback.rule_judge import RuleJudge, hits, parse_rules, score
from boresight.records import Message, Prompt


def prompt_with(*rules: Any, id: str = "p-1") -> Prompt:
    return Prompt(id=id, messages=(Message("user", "How do I list pods?"),), expect={"rules": list(rules)})


def rule(weight: float = 1.0, name: str = "measure", **test: Any) -> dict[str, Any]:
    return {"name": name, "weight": weight, **test}


@pytest.mark.parametrize(
    ("test", "hit", "miss"),
    [
        ({"starts_with": "Yes"}, "  Yes, it is.", "Oh Yes, it is."),
        ({"contains": "no encryption"}, "It is no encryption.", "It is No encryption."),
        ({"contains_any": ["red", "blue"]}, "a blue one", "a green one"),
        ({"code_equals": "kubectl get pods"}, "Run `kubectl  get pods `.", "Run `kubectl get pods -A`."),
        ({"code_equals": "b"}, "`b` and `c`", "`c` and `b`"),
        ({"matches": r"Run `[^`]+`\."}, "\nRun `ls`. ", "Run `ls`. More."),
    ],
)
def test_each_text_test_hits_what_it_says_and_nothing_else(test: dict[str, Any], hit: str, miss: str) -> None:
    prompt = prompt_with(rule(**test))
    assert hits(prompt, hit, False) == {"measure": True}
    assert hits(prompt, miss, True) == {"measure": False}


def test_stopped_hits_by_the_flag_alone() -> None:
    prompt = prompt_with(rule(stopped=True))
    assert hits(prompt, "", True) == {"measure": True}
    assert hits(prompt, "", False) == {"measure": False}


def test_score_is_the_sum_of_the_weights_that_hit() -> None:
    prompt = prompt_with(
        rule(1.0, "command", code_equals="ls"),
        rule(-0.4, "filler", contains="Great"),
        rule(0.3, "stopped", stopped=True),
    )
    assert score(prompt, "Great! Run `ls`.", True) == pytest.approx(0.9)
    assert score(prompt, "Run `ls`.", False) == pytest.approx(1.0)
    assert score(prompt, "Great!", False) == pytest.approx(-0.4)


def test_a_measure_with_two_rules_hits_where_either_does() -> None:
    prompt = prompt_with(rule(contains="a"), rule(contains="b"))
    assert hits(prompt, "a", True) == {"measure": True}
    assert hits(prompt, "b", True) == {"measure": True}
    assert hits(prompt, "c", True) == {"measure": False}


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ("text", "expected an object"),
        ({"name": "m", "weight": 1.0}, "found none as test, expected exactly one of starts_with"),
        ({"name": "m", "weight": 1.0, "contains": "a", "stopped": True}, "found contains and stopped as test"),
        ({"name": "m", "weight": 1.0, "contians": "a"}, "unknown key 'contians'"),
        ({"weight": 1.0, "contains": "a"}, "name is None"),
        ({"name": "m", "weight": "1", "contains": "a"}, "weight is '1', expected a finite number"),
        ({"name": "m", "weight": True, "contains": "a"}, "weight is True"),
        ({"name": "m", "weight": float("nan"), "contains": "a"}, "weight is nan"),
        ({"name": "m", "weight": 1.0, "contains": ""}, "contains is '', expected a text"),
        ({"name": "m", "weight": 1.0, "contains_any": "ab"}, "contains_any is 'ab', expected a list"),
        ({"name": "m", "weight": 1.0, "contains_any": []}, "contains_any is [], expected a list"),
        ({"name": "m", "weight": 1.0, "matches": "("}, "is no regular expression"),
        ({"name": "m", "weight": 1.0, "stopped": False}, "stopped is False; the only value is true"),
    ],
)
def test_a_malformed_rule_is_refused_with_prompt_and_position(broken: Any, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_rules(prompt_with(rule(contains="fine"), broken, id="p-7"))
    assert "prompt 'p-7': expect.rules[1]" in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize("expect", [None, {}, {"rules": []}, {"rules": "contains"}, {"answer": "b"}])
def test_a_prompt_without_rules_is_refused(expect: Any) -> None:
    with pytest.raises(DataError, match=r"prompt 'p-2'.*choose another judge"):
        score(Prompt(id="p-2", messages=(Message("user", "?"),), expect=expect), "a", True)


GOOD, POOR = Answer("good", True), Answer("poor", True)


def test_the_higher_score_wins_in_both_orders() -> None:
    prompt = prompt_with(rule(contains="good"))
    given, swapped = RuleJudge().compare([Comparison(prompt, GOOD, POOR), Comparison(prompt, POOR, GOOD)])
    assert (given.value, given.first_score, given.second_score) == (1.0, 1.0, 0.0)
    assert (swapped.value, swapped.first_score, swapped.second_score) == (0.0, 0.0, 1.0)


def test_scores_within_the_margin_are_a_tie() -> None:
    prompt = prompt_with(rule(0.25, contains="good"))
    assert RuleJudge(tie_margin=0.25).verdict(prompt, GOOD, POOR).value == 0.5
    assert RuleJudge(tie_margin=0.2).verdict(prompt, GOOD, POOR).value == 1.0


def turned_round(judge: RuleJudge, count: int) -> list[bool]:
    prompts = [prompt_with(rule(contains="good"), id=f"p-{i}") for i in range(count)]
    return [judge.verdict(prompt, GOOD, POOR).value == 0.0 for prompt in prompts]


def test_noise_turns_about_its_share_of_verdicts_round() -> None:
    # 4,000 draws at 0.1: four standard errors are 4 * sqrt(0.1 * 0.9 / 4000) = 0.019.
    share = sum(turned_round(RuleJudge(noise=0.1, seed=3), 4000)) / 4000
    assert abs(share - 0.1) < 0.019
    assert not any(turned_round(RuleJudge(noise=0.0), 200))
    assert all(turned_round(RuleJudge(noise=1.0), 200))


def test_noise_follows_seed_prompt_and_texts_only() -> None:
    once = turned_round(RuleJudge(noise=0.3, seed=1), 300)
    assert turned_round(RuleJudge(noise=0.3, seed=1), 300) == once
    assert turned_round(RuleJudge(noise=0.3, seed=1), 100) == once[:100]
    assert turned_round(RuleJudge(noise=0.3, seed=2), 300) != once


def test_noise_turns_both_orders_of_a_couple_alike() -> None:
    judge = RuleJudge(noise=0.3, seed=5)
    for i in range(200):
        prompt = prompt_with(rule(contains="good"), id=f"p-{i}")
        assert judge.verdict(prompt, GOOD, POOR).value == 1.0 - judge.verdict(prompt, POOR, GOOD).value


def test_noise_leaves_ties_and_scores_alone() -> None:
    prompt = prompt_with(rule(contains="good"))
    judge = RuleJudge(noise=1.0)
    assert judge.verdict(prompt, GOOD, GOOD).value == 0.5
    turned = judge.verdict(prompt, GOOD, POOR)
    assert (turned.value, turned.first_score, turned.second_score) == (0.0, 1.0, 0.0)
