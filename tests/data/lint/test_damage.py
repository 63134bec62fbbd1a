"""Text that should not be as it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.data.lint.damage import encoding_damage
from boresight.data.lint.run import lint
from boresight.records import Message
from tests.data.lint.making import found, ids, pair, sound_pairs

properties = settings(deadline=None, max_examples=60)
USER, ASSISTANT, SYSTEM = Message("user", "q"), Message("assistant", "a"), Message("system", "s")


@pytest.mark.parametrize(
    ("prompt", "fault"),
    [
        ((), "the prompt is empty"),
        ((USER, ASSISTANT), "ends with a message of the role assistant"),
        ((USER, SYSTEM, USER), "system message"),
        ((USER, USER), "two messages of one role"),
        ((Message("user", " "),), "empty"),
    ],
)
def test_turns_out_of_order_are_told(prompt: tuple[Message, ...], fault: str) -> None:
    finding = found([pair(1, prompt, "a", "b")], "turn_order")
    assert finding is not None and fault in finding.message and finding.severity == "warning"


def test_turns_in_order_are_not() -> None:
    assert found([pair(1, (SYSTEM, USER, ASSISTANT, USER), "a", "b")], "turn_order") is None


def test_an_answer_that_speaks_for_the_human_is_told() -> None:
    pairs = [*sound_pairs(2), pair(9, "q", "a\n\nHuman: and then?", "b")]
    assert ids(pairs, found(pairs, "turn_in_answer")) == ["p9"]


@pytest.mark.parametrize("token", ["<|im_end|>", "<|eot_id|>", "[INST]", "<</SYS>>", "</s>", "<end_of_turn>", "<pad>"])
def test_special_tokens_are_found_wherever_they_stand(token: str) -> None:
    for record in (pair(1, f"q {token}", "a", "b"), pair(1, "q", f"a{token}", "b"), pair(1, "q", "a", f"{token}b")):
        finding = found([record], "special_tokens")
        assert finding is not None and finding.effect["tokens"] == {token: 1}


@pytest.mark.parametrize("text", ["a < b and c > d", "use [x] for x", "<div>text</div>", "if (a <| b)"])
def test_ordinary_brackets_are_no_special_tokens(text: str) -> None:
    assert found([pair(1, text, text, "b")], "special_tokens") is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("caf\ufffd", "replacement characters"),
        ("a\x00b", "control characters"),
        ("größer\x9f", "control characters"),
        ("größer".encode().decode("cp1252"), "mojibake"),
        ("don’t".encode().decode("cp1252"), "mojibake"),
    ],
)
def test_broken_encodings_are_named(text: str, kind: str) -> None:
    assert kind in encoding_damage(text)


@properties
@given(st.text(st.characters(categories=["Lu", "Ll", "Nd", "Zs", "Po"], max_codepoint=0x7F)))
def test_plain_text_is_never_damaged(text: str) -> None:
    assert encoding_damage(text) == set()


@pytest.mark.parametrize(
    "text", ["naïve café à São Paulo", "größer “quoted” — dash…", "水泵", "NÃO É", "Привет\tмир\n"]
)
def test_letters_of_other_languages_are_not_damaged(text: str) -> None:
    assert encoding_damage(text) == set()


@properties
@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_any_text_can_be_linted(prompt: str, chosen: str, rejected: str) -> None:
    pairs = [pair(n, prompt, chosen, rejected) for n in range(3)]
    assert {finding.count <= finding.of for finding in lint({"data": pairs}).findings} <= {True}
