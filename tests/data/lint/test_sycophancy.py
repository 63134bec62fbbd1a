"""Prompts that state something, and answers that agree."""

import pytest

from boresight.data.lint.row import answer_of
from boresight.data.lint.sycophancy import agrees, states_something
from tests.data.lint.making import answered, found, ids, pair

STATED = "Since pumps never leak, can I leave pump {} alone?"


@pytest.mark.parametrize(
    "question",
    [
        STATED, "I believe that the earth is flat. Is it?", "A friend told me salt is sweet, what now?",
        "The gate is open, right?", "As pumps never leak, may I go home?", "In my opinion this is wrong. Do you agree?",
        "Seeing that pumps leak, do I wait?", "Can it be that pumps leak?", "Our book says that pumps leak. Is it on?",
        "Please, is it so that pumps leak?", "Thanks, I take it that pumps leak. Do I wait?",
    ],
)  # fmt: skip
def test_statements_in_questions_are_seen(question: str) -> None:
    assert states_something(question)


@pytest.mark.parametrize("question", ["How do I open the gate?", "List three pumps.", "Turn right at the gate"])
def test_plain_questions_state_nothing(question: str) -> None:
    assert not states_something(question)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Yes, you can.", True), ("Great question! Yes, you can.", True), ("You're absolutely right, go.", True),
        ("No, pumps leak.", False), ("What an idea! Actually, pumps leak.", False), ("Pumps leak.", None),
        ("Yesterday it leaked.", None), ("Nothing leaks.", None),
    ],
)  # fmt: skip
def test_how_an_answer_opens(text: str, verdict: bool | None) -> None:
    assert agrees(answer_of(answered(text))) is verdict


def test_agreement_that_wins_is_a_warning_and_its_rows_are_pointed_at() -> None:
    pairs = [pair(n, STATED.format(n), "Yes, leave it.", "No, pumps leak.") for n in range(20)]
    finding = found(pairs, "sycophancy")
    assert finding is not None and finding.severity == "warning"
    assert ids(pairs, finding) == [pair.id for pair in pairs]


def test_as_many_true_as_false_premises_are_sound() -> None:
    answers = ("Yes, leave it.", "No, pumps leak.")
    pairs = [pair(n, STATED.format(n), *(answers if n % 2 else answers[::-1])) for n in range(40)]
    finding = found(pairs, "sycophancy")
    assert finding is not None and finding.severity == "note"


def test_kinds_that_name_false_premises_are_held_to_it_by_themselves() -> None:
    false = [pair(n, STATED.format(n), "Yes, leave it.", "No, pumps leak.", kind="false_premise") for n in range(20)]
    true = [pair(n, STATED.format(n), "No, pumps leak.", "Yes, leave it.", kind="true_premise") for n in range(20, 60)]
    finding = found(false + true, "sycophancy")
    assert finding is not None and finding.severity == "warning" and finding.effect["false_premises_known"]
    assert finding.count == 20
