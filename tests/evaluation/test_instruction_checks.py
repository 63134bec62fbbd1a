from typing import Any

import pytest

from boresight.errors import DataError
from boresight.evaluation.instruction_checks import CHECKS, count_sentences, follows, follows_all

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("keywords:existence", {"keywords": ["rose", "bee"]}, "A Rose and a bee.", "A rose."),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "Category theory.", "A cat."),
    ("keywords:frequency", {"keyword": "war", "relation": "at least", "frequency": 2}, "War and war.", "War."),
    ("keywords:letter_frequency", {"letter": "!", "let_relation": "less than", "let_frequency": 2}, "Hi!", "Hi!!"),
    ("language:response_language", {"language": "ru"}, "Привет, мир. OK?", "Hello"),
    ("length_constraints:number_sentences", {"relation": "at least", "num_sentences": 3}, "A. B? C!", "A. B."),
    ("length_constraints:number_words", {"relation": "less than", "num_words": 4}, "don't go", "one two three four"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb\n***", "a *** *** b"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"first_word": "weekend", "num_paragraphs": 2, "nth_paragraph": 2},
        "One.\n\n\"Weekend's here.",
        "Weekend.\n\nTwo.",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[a] and [b]", "[a]"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\nP. P. S. More", "P.S. More"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\np.s. More", "PS More"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b\n**bold**", "* a\n* b\n* c"),
    ("detectable_format:constrained_response", {}, "My answer is maybe.", "Maybe."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* then **b**", "*a* then ** **"),
    ("detectable_format:multiple_sections", {"section_spliter": "SECTION", "num_sections": 2},
     "SECTION 1 a SECTION 2 b", "SECTION 1 a"),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<Light>> It shone.", "<< >> It shone."),
    ("combination:two_responses", {}, "one\n******\ntwo", "one\n******\none"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi."}, "say hi. Hi!", "Hi! Say hi."),
    ("startend:end_checker", {"end_phrase": "The end."}, 'It was. The end."', "The end. It was."),
    ("startend:quotation", {}, ' "All of it." ', '"Half" of it.'),
    ("change_case:capital_word_frequency", {"capital_relation": "at least", "capital_frequency": 2},
     "GO NOW", "GO now"),
    ("change_case:english_capital", {}, "SHOUT, 3 TIMES", "SHOUt"),
    ("change_case:english_lowercase", {}, "quiet, 3 times", "Quiet"),
    ("punctuation:no_comma", {}, "No pause here", "No, pause"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "kept", "broken"), CASES)
def test_each_instruction_is_told_kept_from_broken(
    name: str, arguments: dict[str, Any], kept: str, broken: str
) -> None:
    assert follows(name, arguments, kept) is True
    assert follows(name, arguments, broken) is False
    assert follows(name, arguments, "  ") is False  # an empty answer follows nothing


def test_every_check_is_tested() -> None:
    assert {name for name, *_ in CASES} == set(CHECKS)


def test_a_language_in_latin_letters_cannot_be_verified_and_leaves_the_whole_open() -> None:
    german = ("language:response_language", {"language": "de"})
    comma = ("punctuation:no_comma", {})
    assert follows(*german, "Guten Tag") is None
    assert follows_all([german, comma], "Guten Tag") is None
    assert follows_all([german, comma], "Guten, Tag") is False  # broken whatever the language is
    assert follows_all([comma], "Guten Tag") is True


def test_sentences_are_counted_by_their_ends_not_by_every_full_stop() -> None:
    assert count_sentences("It costs 3.50 today. Is it 1.5 kg? Yes! e.g. this one.") == 4
    assert count_sentences('He said "Go." Then he went.') == 2
    assert count_sentences("A heading without an end\n\nA sentence.") == 2


def test_unknown_instructions_and_missing_arguments_are_refused() -> None:
    with pytest.raises(DataError, match="'rhyme:abab' is not known"):
        follows("rhyme:abab", {}, "text")
    with pytest.raises(DataError, match="cannot be used"):
        follows("keywords:existence", {}, "text")
    with pytest.raises(DataError, match="relation"):
        follows("length_constraints:number_words", {"relation": "about", "num_words": 3}, "text")
