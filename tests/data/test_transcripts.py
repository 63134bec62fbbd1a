import pytest
from hypothesis import given
from hypothesis import strategies as st

from boresight.data.transcripts import is_transcript, parse_transcript, render_transcript
from boresight.errors import DataError
from boresight.records import Message

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(str.strip).filter(lambda t: ":" not in t)


@given(turns=st.lists(st.tuples(st.sampled_from(["user", "assistant"]), texts), max_size=5), answer=texts)
def test_what_is_rendered_is_parsed_again(turns: list[tuple[str, str]], answer: str) -> None:
    messages = (*(Message(role, content) for role, content in turns), Message("assistant", answer))
    assert is_transcript(render_transcript(messages))
    assert parse_transcript(render_transcript(messages), "here") == messages


def test_two_turns_of_one_speaker_and_empty_ones_are_kept() -> None:
    text = "\n\nHuman: a\n\nAssistant: \n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    roles = [("user", "a"), ("assistant", ""), ("assistant", "b"), ("user", "c"), ("assistant", "")]
    assert parse_transcript(text, "here") == tuple(Message(role, content) for role, content in roles)


def test_a_marker_inside_a_line_or_after_one_line_end_is_text() -> None:
    text = "\n\nHuman: say Assistant: x\nAssistant: y\n\nAssistant: No. Human: z"
    assert [m.content for m in parse_transcript(text, "here")] == ["say Assistant: x\nAssistant: y", "No. Human: z"]


@pytest.mark.parametrize(("text", "message"), [("Hi", "found no turn"), ("Hi\n\nAssistant: x", "begins with 'Hi'")])
def test_other_text_is_refused(text: str, message: str) -> None:
    assert not is_transcript(text)
    with pytest.raises(DataError, match=f"f:3: .*{message}"):
        parse_transcript(text, "f:3")
