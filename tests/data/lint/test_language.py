"""Languages of questions, and answers in another one."""

import pytest

from boresight.data.lint.language import language_of
from boresight.data.lint.row import words_of
from tests.data.lint.making import found, ids, pair

ENGLISH = "What is the best way to keep the water in the tank warm for the night?"
GERMAN = "Wie ist das Wasser in der Nacht warm zu halten und auf was kommt es an?"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "English"),
        (GERMAN, "German"),
        ("¿Cuál es la mejor manera de que el agua no se enfríe por la noche en los tanques?", "Spanish"),
        (
            "Quelle est la meilleure façon pour que le réservoir ne se refroidisse pas dans la nuit et le jour?",
            "French",
        ),
        ("Как сохранить воду тёплой?", "Cyrillic"),
        ("如何保持水的温度？", "Chinese"),
        ("kubectl get pods", None),
        ("", None),
    ],
)
def test_languages_are_told_or_left_undecided(text: str, language: str | None) -> None:
    assert language_of(text, words_of(text)) == language


def test_an_answer_in_another_language_is_pointed_at() -> None:
    pairs = [pair(1, ENGLISH, GERMAN, "b"), pair(2, ENGLISH, ENGLISH, "b"), pair(3, GERMAN, GERMAN, "b")]
    finding = found(pairs, "language_mix")
    assert ids(pairs, finding) == ["p1"]
    assert finding is not None and finding.effect["switches"] == {"English to German": 1}


def test_one_language_is_no_finding() -> None:
    assert found([pair(n, ENGLISH, ENGLISH, "b") for n in range(5)], "language_mix") is None


def test_a_set_in_which_no_question_tells_its_language_is_no_finding() -> None:
    assert found([pair(1, "", ENGLISH, "b"), pair(2, "kubectl get pods", GERMAN, "b")], "language_mix") is None
