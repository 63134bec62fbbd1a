"""AI labels with judges whose behaviour is planted: fair, biased towards a position, undecided."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from boresight.feedback.ai_labels import label_responses
from boresight.feedback.judge import Comparison, Verdict
from boresight.feedback.rule_judge import RuleJudge
from boresight.records import Message, Prompt, Response

RULES = {"rules": [{"name": name, "weight": weight, "contains": name} for name, weight in (("a", 1.0), ("b", 2.5))]}


def response(prompt: str, number: int, text: str, model: str = "demo") -> Response:
    return Response(
        id=f"{prompt}/{model}/{number}", text=text, model=model, temperature=1.0, stopped=True, tokens=len(text),
        prompt=Prompt(id=prompt, messages=(Message("user", prompt),), kind="plain", expect=RULES), logp_sum=-1.0,
    )  # fmt: skip


class FirstIsBetter:
    """Sees only the position."""

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        return [Verdict(1.0) for _ in comparisons]


class Undecided:
    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        return [Verdict(0.5) for _ in comparisons]


class LongerIsBetter:
    """Prefers length, gives no scores."""

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        return [Verdict(float(len(c.first.text) > len(c.second.text))) for c in comparisons]


def test_pair_says_which_response_won_from_which_models_and_that_a_machine_said_so() -> None:
    labels = label_responses(
        [response("p", 0, "x", "small"), response("p", 0, "b", "large")], RuleJudge(), pairs_per_prompt=1
    )
    (pair,) = labels.pairs
    assert pair.id == "p/large/0>p/small/0"
    assert pair.prompt == (Message("user", "p"),)
    assert pair.chosen == (Message("assistant", "b"),) and pair.rejected == (Message("assistant", "x"),)
    assert (pair.kind, pair.source, pair.p_chosen) == ("plain", "ai", 1.0)
    assert pair.meta == {"chosen_model": "large", "rejected_model": "small"}


def test_widest_difference_comes_first_and_each_prompt_has_its_share() -> None:
    responses = [response(p, i, text) for p in ("p", "q") for i, text in enumerate(("x", "a", "b", "ab"))]
    labels = label_responses(responses, RuleJudge(), pairs_per_prompt=2)
    texts = [(pair.chosen[0].content, pair.rejected[0].content) for pair in labels.pairs]
    # Scores 0, 1, 2.5 and 3.5; differences 3.5 (ab x), then 2.5 (b x and ab a): of equal ones, the first by id.
    assert texts == [("ab", "x"), ("b", "x")] * 2
    assert (labels.prompts, labels.ties, labels.verdict_flips) == (2, 0, 0)
    everything = label_responses(responses, RuleJudge(), pairs_per_prompt=100)
    assert len(everything.pairs) == 12  # six couples of four responses, twice


def test_verdict_that_turns_with_the_order_is_no_label() -> None:
    responses = [response("p", i, text) for i, text in enumerate(("x", "a", "b"))]
    labels = label_responses(responses, FirstIsBetter(), pairs_per_prompt=3)
    assert (labels.pairs, labels.verdict_flips, labels.ties) == ([], 3, 0)


def test_ties_are_counted_and_never_taken() -> None:
    responses = [response("p", i, text) for i, text in enumerate(("x", "y", "b"))]
    labels = label_responses(responses, RuleJudge(), pairs_per_prompt=3)
    assert labels.ties == 1 and len(labels.pairs) == 2
    assert label_responses(responses, Undecided(), pairs_per_prompt=3).ties == 3


def test_equal_texts_are_shown_once_and_a_lone_response_makes_no_pair() -> None:
    responses = [response("p", 0, "x"), response("p", 1, "x"), response("p", 2, "a"), response("q", 0, "b")]
    labels = label_responses(responses, RuleJudge(), pairs_per_prompt=5)
    assert [pair.id for pair in labels.pairs] == ["p/demo/2>p/demo/0"]
    assert labels.prompts == 2


def test_judge_without_scores_labels_too() -> None:
    responses = [response("p", i, "x" * (i + 1)) for i in range(3)]
    labels = label_responses(responses, LongerIsBetter(), pairs_per_prompt=1)
    assert [pair.id for pair in labels.pairs] == ["p/demo/1>p/demo/0"]  # all gaps unknown: the first by id


def test_order_of_the_responses_changes_no_label_but_that_of_a_noisy_judge_neither() -> None:
    responses = [response(f"p{n}", i, text) for n in range(40) for i, text in enumerate(("x", "b"))]
    judge = RuleJudge(noise=0.3, seed=1)
    labels = label_responses(responses, judge, pairs_per_prompt=1)
    turned = label_responses(responses[::-1], judge, pairs_per_prompt=1)
    assert {pair.id for pair in labels.pairs} == {pair.id for pair in turned.pairs}
    wrong = sum(pair.chosen[0].content == "x" for pair in labels.pairs)
    assert wrong / 40 == pytest.approx(0.3, abs=0.2) and labels.verdict_flips == 0


def test_answer_cut_off_reaches_the_judge_as_such() -> None:
    rule = {"rules": [{"name": "stopped", "weight": 1.0, "stopped": True}]}
    whole, cut = (
        replace(r, prompt=replace(r.prompt, expect=rule)) for r in (response("p", 0, "x"), response("p", 1, "y"))
    )
    labels = label_responses([replace(cut, stopped=False), whole], RuleJudge(), pairs_per_prompt=1)
    assert labels.pairs[0].chosen[0].content == "x"
