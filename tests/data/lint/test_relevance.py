"""Rejected answers that do not answer."""

from tests.data.lint.making import found, ids, pair, sound_pairs


def test_a_rejected_answer_to_another_question_is_pointed_at() -> None:
    pairs = [
        *sound_pairs(10),
        pair(
            50,
            "Which pressure does the brass pump need?",
            "The brass pump runs on pressure four.",
            "Goodbye, my friend.",
        ),
    ]
    finding = found(pairs, "off_topic_rejected")
    assert ids(pairs, finding) == ["p50"] and finding is not None and finding.severity == "warning"


def test_a_near_miss_is_not() -> None:
    assert (
        found(
            [
                pair(
                    1,
                    "Which pressure does the brass pump need?",
                    "The brass pump needs four bar.",
                    "Nine bar for the brass pump.",
                )
            ],
            "off_topic_rejected",
        )
        is None
    )


def test_a_short_answer_to_small_talk_is_not() -> None:
    assert found([pair(1, "Hello, how are you?", "I am fine.", "Go away.")], "off_topic_rejected") is None


def test_answers_dealt_out_at_random_are_told_as_a_whole() -> None:
    pairs = sound_pairs(200)
    topics = [f"topic{n} detail{n}" for n in range(200)]
    dealt = [
        pair(n, f"Please explain {topics[n]}", f"Here is {topics[n]}", f"Some {topics[(n * 7 + 3) % 200]}")
        for n, _ in enumerate(pairs)
    ]
    finding = found(dealt, "off_topic_rejected")
    assert finding is not None and finding.severity == "warning"
    assert abs(finding.effect["nearer_than_random"] - 0.5) < 0.05


def test_a_word_that_all_answers_share_does_not_make_an_answer_fit() -> None:
    asked = "Which pressure does the brass pump need?"
    usual = [
        pair(n, f"Which pressure does pump {n} need?", f"Run pump {n} at pressure {n}.", f"Run gate {n} at {n} bar.")
        for n in range(60)
    ]
    stray = pair(99, asked, "Run the brass pump at pressure four.", "Run along, my friend.")
    assert "p99" in ids([*usual, stray], found([*usual, stray], "off_topic_rejected"))
    assert found([stray], "off_topic_rejected") is None  # alone, nobody knows that "run" says nothing
