"""Rubrics as data: the shipped ones, their hash, how criteria are combined, and faults of a file."""

from dataclasses import replace
from pathlib import Path

import pytest

from boresight.errors import JudgeError
from boresight.feedback.judge import Answer, Comparison
from boresight.feedback.rubric import Criterion, Rubric, judge_messages, load_rubric, shipped_rubrics
from boresight.records import Message, Prompt

TWO = Rubric("two", (Criterion("a", 3.0, "Which is a?"), Criterion("b", 1.0, "Which is b?")))


def test_shipped_rubrics_are_helpful_and_harmless_with_several_criteria_each() -> None:
    assert shipped_rubrics() == ["harmless", "helpful"]
    for name in shipped_rubrics():
        rubric = load_rubric(name)
        assert rubric.name == name and len(rubric.criteria) == 3
    assert load_rubric("helpful").hash != load_rubric("harmless").hash


def test_criteria_are_combined_by_weight() -> None:
    # (3 * 1 + 1 * 0) / 4 and (3 * 0.5 + 1 * 1) / 4
    assert TWO.combine({"a": 1.0, "b": 0.0}) == 0.75
    assert TWO.combine({"a": 0.5, "b": 1.0}) == 0.625


def test_hash_follows_everything_that_the_judge_is_told() -> None:
    reworded = replace(TWO, criteria=(TWO.criteria[0], replace(TWO.criteria[1], question="Which is b, really?")))
    reweighted = replace(TWO, criteria=(replace(TWO.criteria[0], weight=2.0), TWO.criteria[1]))
    assert len({TWO.hash, reworded.hash, reweighted.hash, replace(TWO, name="other").hash}) == 4
    assert TWO.hash == Rubric("two", TWO.criteria).hash


def test_each_criterion_is_asked_apart_and_no_model_name_is_shown() -> None:
    comparison = Comparison(
        Prompt(id="secret-id", messages=(Message("user", "hi"),)), Answer("x", True), Answer("y", True)
    )
    first, second = (judge_messages(criterion, comparison)[1]["content"] for criterion in TWO.criteria)
    assert "Which is a?" in first and "Which is b?" not in first and "Which is b?" in second
    assert first.index("user: hi") < first.index("\nx\n") < first.index("\ny\n") and "secret-id" not in first


def test_a_file_is_read_relative_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text('name: own\ncriteria:\n  - {name: short, question: "Which is shorter?"}\n')
    assert load_rubric("own.yaml", tmp_path) == Rubric("own", (Criterion("short", 1.0, "Which is shorter?"),))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name: [", "no YAML"),
        ("- a", "expected a mapping with name, criteria"),
        ("name: x", "'criteria' is missing"),
        ("name: x\ncriteria: []", "at least one criterion"),
        ("name: ''\ncriteria: [{name: a, question: b}]", "name is ''"),
        ("name: x\ncriteria: [{name: a}]", "criteria[0]: 'question' is missing"),
        ("name: x\ncriteria: [{name: a, question: b, wieght: 2}]", "unknown key 'wieght'"),
        ("name: x\ncriteria: [{name: a, question: b, weight: 0}]", "weight is 0; expected a number above 0"),
        ("name: x\ncriteria: [{name: a, question: b}, {name: a, question: c}]", "two criteria are named 'a'"),
    ],
)
def test_fault_of_a_rubric_names_file_and_key(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "own.yaml").write_text(content)
    with pytest.raises(JudgeError) as fault:
        load_rubric("own.yaml", tmp_path)
    assert said in str(fault.value) and str(tmp_path / "own.yaml") in str(fault.value)


def test_unknown_rubric_lists_the_shipped_ones() -> None:
    with pytest.raises(JudgeError, match="shipped rubric \\(harmless, helpful\\)"):
        load_rubric("helpfull")
