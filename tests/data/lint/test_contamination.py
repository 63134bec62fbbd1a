"""Evaluation prompts in the training data."""

from boresight.records import Prompt
from tests.data.lint.making import found, ids, pair, said, sound_pairs

QUESTION = "Which of the four pumps in the lower hall has to be stopped before the gate is opened at night?"


def test_an_evaluation_question_in_the_data_is_pointed_at_in_any_spelling() -> None:
    pairs = [*sound_pairs(3), pair(9, QUESTION.upper() + " ", "a", "b")]
    finding = found(pairs, "contamination", evaluation=[Prompt(id="e", messages=said(QUESTION))])
    assert ids(pairs, finding) == ["p9"]
    assert finding is not None and finding.effect["exact"] == 1


def test_a_question_with_most_of_an_evaluation_question_in_it_is_near() -> None:
    pairs = [pair(1, "Please tell me: " + QUESTION, "a", "b")]
    finding = found(pairs, "contamination", evaluation=[Prompt(id="e", messages=said(QUESTION))])
    assert finding is not None and (finding.effect["exact"], finding.effect["near"]) == (0, 1)


def test_greetings_contaminate_nothing() -> None:
    assert (
        found([pair(1, "Hello!", "a", "b")], "contamination", evaluation=[Prompt(id="e", messages=said("Hello"))])
        is None
    )


def test_other_questions_do_not() -> None:
    prompts = [Prompt(id="e", messages=said(QUESTION))]
    assert found(sound_pairs(20), "contamination", evaluation=prompts) is None
