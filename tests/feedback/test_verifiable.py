import pytest

from boresight.errors import DataError
from boresight.feedback.verifiable import expected_answer, gives_answer, matches, words_within
from boresight.records import Message, Prompt


@pytest.mark.parametrize(
    ("text", "whole", "found"),
    [("Run `ls`.", False, True), ("Run `ls`.", True, False), (" `ls` \n", True, True), ("ls", False, False)],
)
def test_pattern_matches_somewhere_or_the_whole_response(text: str, whole: bool, found: bool) -> None:
    assert matches(text, "`[a-z]+`", whole=whole) is found


@pytest.mark.parametrize(
    ("text", "fewest", "most", "within"),
    [("", 0, None, True), ("", 1, None, False), ("a b  c", 3, 3, True), ("a b c", 0, 2, False), ("a\nb", 2, 2, True)],
)
def test_words_are_counted_between_white_space(text: str, fewest: int, most: int | None, within: bool) -> None:
    assert words_within(text, fewest, most) is within


@pytest.mark.parametrize(
    ("text", "extract", "ignore_case", "right"),
    [
        ("42", None, False, True),
        (" 42\n", None, False, True),
        ("It is 42", None, False, False),
        ("first answer: 41, then answer: 42", r"answer: (\d+)", False, True),  # the last one counts
        ("answer: 42, no, answer: 41", r"answer: (\d+)", False, False),
        ("42 apples", r"\d+", False, True),  # without a group the whole match
        ("no number", r"\d+", False, False),
    ],
)
def test_answer_is_found_where_the_pattern_says(text: str, extract: str | None, ignore_case: bool, right: bool) -> None:
    assert gives_answer(text, "42", extract=extract, ignore_case=ignore_case) is right


def test_case_and_white_space_of_an_answer() -> None:
    assert gives_answer("new\n york", "New  York", extract=None, ignore_case=True)
    assert not gives_answer("new york", "New York", extract=None, ignore_case=False)


@pytest.mark.parametrize("expect", [None, {}, {"answer": ""}, {"answer": 42}, {"rules": []}])
def test_prompt_without_an_answer_is_named(expect: dict[str, object] | None) -> None:
    prompt = Prompt(id="sum-3", messages=(Message("user", "6 x 7?"),), expect=expect)
    with pytest.raises(DataError, match=r"prompt 'sum-3': \"expect\" is .* needs \{\"answer\": text\}"):
        expected_answer(prompt)
